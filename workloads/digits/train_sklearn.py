"""Digits in scikit-learn, which has no CNN: a perceptron with two hidden layers of 128."""

import argparse
from pathlib import Path

import joblib
import numpy as np
from sklearn.neural_network import MLPClassifier

from .data import CLASSES
from .loop import train


class ScikitLearn:
    packages = ("sklearn", "numpy")

    def __init__(self, chosen: argparse.Namespace, side: int) -> None:
        self.model = MLPClassifier(
            (128, 128),
            solver="sgd",
            learning_rate_init=chosen.lr,
            momentum=chosen.momentum,
            nesterovs_momentum=False,
            alpha=0.0,
            batch_size=chosen.batch,
            random_state=chosen.seed,
        )

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        # A batch of the model's own batch size is one step.
        self.model.partial_fit(images.reshape(len(images), -1), labels, classes=np.arange(CLASSES))
        return float(self.model.loss_)

    def scores(self, images: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(images.reshape(len(images), -1))

    def save(self, folder: Path) -> None:
        joblib.dump(self.model, folder / "model.joblib")

    def restore(self, folder: Path) -> None:
        self.model = joblib.load(folder / "model.joblib")

    def export(self, folder: Path) -> None:
        self.save(folder)


if __name__ == "__main__":
    train(__doc__, ScikitLearn, models=("mlp",))
