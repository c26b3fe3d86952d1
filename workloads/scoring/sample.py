"""Something to score where there is nothing yet: files of digits, some of them broken, and a small model."""

from pathlib import Path

import numpy as np
from digits.data import CLASSES, load
from from_scratch.logistic import Logistic
from from_scratch.network import batches, descend
from trial import write_card


def make_files(folder: Path, files: int = 40, rows: int = 25) -> None:
    """CSV files of test and validation digits, one picture a row; every twentieth file is broken, each its own way."""
    digits = load(None)
    pictures = np.concatenate([digits.test.images, digits.validation.images]).reshape(-1, digits.side**2) * 16
    folder.mkdir(parents=True)
    damages = ("1,2,3\n", "", "not,a,number\n")
    for number in range(files):
        chosen = pictures[np.arange(number * rows, (number + 1) * rows) % len(pictures)]
        lines = [",".join(f"{value:g}" for value in row) for row in chosen]
        content = damages[number // 20 % len(damages)] if number % 20 == 7 else "\n".join(lines) + "\n"
        (folder / f"part-{number:04}.csv").write_text(content)


def make_model(folder: Path) -> None:
    """A logistic regression of the training digits, as `from_scratch.train` saves one."""
    digits = load(None)
    network = Logistic(digits.side**2, CLASSES, np.random.default_rng(1))
    speeds = {name: np.zeros_like(weight) for name, weight in network.weights.items()}
    inputs = digits.train.images.reshape(len(digits.train), -1).astype(float) - 0.5
    for epoch in range(15):
        for rows in batches(len(inputs), 32, (1, epoch)):
            _, gradients = network.loss_and_gradients(inputs[rows], digits.train.labels[rows])
            descend(network.weights, gradients, speeds, rate=0.05, momentum=0.9, l2=1e-4)
    write_card(folder, data=digits.sha256, settings={"model": "logistic"}, metrics={}, packages=["numpy"])
    np.savez(folder / "weights.npz", **network.weights)
