"""The training that all frameworks share: the same data in the same order, measured in the same way."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from trial import BadInput, Checkpoint, report, run_program, settings_of, training_parser, write_card

from .data import Part, load


class Learner(Protocol):
    """A model with its optimizer, in some framework."""

    packages: tuple[str, ...]

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One step on a batch (count, side, side); the mean loss before it."""

    def scores(self, images: np.ndarray) -> np.ndarray:
        """(count, 10); the largest is the answer."""

    def save(self, folder: Path) -> None:
        """Write everything that training needs to go on exactly."""

    def restore(self, folder: Path) -> None:
        """Read what `save` wrote."""

    def export(self, folder: Path) -> None:
        """Write the model in the framework's own format."""


def train(
    description: str | None, make: Callable[[argparse.Namespace, int], Learner], models: tuple[str, ...] = ("cnn",)
) -> None:
    """Parse the arguments, let `make` build a learner for (them, the pictures' side), and train it."""
    run_program(lambda: _train(_arguments(description, models), make))


def _arguments(description: str | None, models: tuple[str, ...]) -> argparse.Namespace:
    parser = training_parser(description, epochs=15)
    parser.add_argument("--model", choices=models, default=models[-1])
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of SGD")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--data", help="MNIST: a folder, mnist.npz or a URL; else scikit-learn's digits")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs = min(chosen.epochs, 2)
    if min(chosen.lr, chosen.batch) <= 0 or not 0 <= chosen.momentum < 1:
        raise BadInput("--lr and --batch must be above 0, --momentum from 0 to below 1")
    return chosen


def _train(chosen: argparse.Namespace, make: Callable[[argparse.Namespace, int], Learner]) -> None:
    digits = load(chosen.data)
    if len(digits.train) < chosen.batch:
        raise BadInput(f"--batch {chosen.batch}: there are only {len(digits.train)} pictures to learn from")
    learner = make(chosen, digits.side)
    # Frameworks have equal settings and cannot read each other's state.
    settings = settings_of(chosen) | {"data_sha256": digits.sha256, "packages": learner.packages}
    checkpoint = Checkpoint(chosen.checkpoint, settings, chosen.epochs)
    started = time.perf_counter()
    for epoch in range(checkpoint.resume(learner.restore), chosen.epochs):
        order = np.random.default_rng((chosen.seed, epoch)).permutation(len(digits.train))
        # Whole batches only: a compiler would make the program anew for a smaller last one.
        steps = order[: len(order) // chosen.batch * chosen.batch].reshape(-1, chosen.batch)
        begun = time.perf_counter()
        losses = [learner.train(digits.train.images[rows], digits.train.labels[rows]) for rows in steps]
        seconds = time.perf_counter() - begun
        report(
            step=epoch + 1,
            loss=float(np.mean(losses)),
            val_accuracy=_accuracy(learner, digits.validation),
            samples_per_second=steps.size / seconds,
            train_seconds=time.perf_counter() - started,
        )
        checkpoint.save(epoch + 1, learner.save)
    metrics = {"val_accuracy": _accuracy(learner, digits.validation), "test_accuracy": _accuracy(learner, digits.test)}
    report(test_accuracy=metrics["test_accuracy"])
    write_card(
        "model",
        data=digits.sha256,
        settings=settings_of(chosen),
        metrics=metrics,
        packages=learner.packages,
        epochs=chosen.epochs,
    )
    learner.export(Path("model"))


def _accuracy(learner: Learner, part: Part) -> float:
    pieces = range(0, len(part), 1_000)
    found = np.concatenate([learner.scores(part.images[start : start + 1_000]).argmax(1) for start in pieces])
    return float(np.mean(found == part.labels))
