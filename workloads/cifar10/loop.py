"""The training that both frameworks share, in one process or several."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from trial import BadInput, Checkpoint, report, settings_of, training_parser, write_card

from .data import Part, augment, downloaded, load, scaled


class Learner(Protocol):
    """A network with its optimizer; the learners of all processes keep the same weights."""

    packages: tuple[str, ...]

    def train(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One step on this process' share of a batch; the mean loss of the share."""

    def scores(self, images: np.ndarray) -> np.ndarray: ...

    def save(self, folder: Path) -> None: ...

    def restore(self, folder: Path) -> None: ...

    def export(self, folder: Path) -> None: ...


def arguments(description: str | None) -> argparse.Namespace:
    parser = training_parser(description, epochs=10)
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of SGD")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--l2", type=float, default=5e-4, help="weight decay")
    parser.add_argument("--width", type=int, default=16, help="filters of the first block (VGG has 64)")
    parser.add_argument("--batch", type=int, default=64, help="pictures a step, over all processes")
    parser.add_argument("--processes", type=int, default=1, help="each learns from its share of every batch")
    parser.add_argument("--data", help="CIFAR-10's binary archive, its folder or a URL; else shapes are drawn")
    parser.add_argument("--pictures", type=int, default=6_000, help="shapes to draw, without --data")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs, chosen.pictures = min(chosen.epochs, 2), 300
        chosen.width, chosen.batch = min(chosen.width, 4), min(chosen.batch, 20)
    if min(chosen.lr, chosen.width, chosen.batch, chosen.processes) <= 0 or chosen.pictures < 60:
        raise BadInput("--lr, --width, --batch and --processes must be above 0, --pictures at least 60")
    if not 0 <= chosen.momentum < 1 or chosen.l2 < 0:
        raise BadInput("--momentum must be from 0 to below 1, --l2 at least 0")
    if chosen.batch % chosen.processes:
        raise BadInput(f"--batch {chosen.batch} cannot be divided evenly over --processes {chosen.processes}")
    # Once, before there are several processes that would write to the same file.
    chosen.data = downloaded(chosen.data)
    return chosen


def train(rank: int, count: int, chosen: argparse.Namespace, make: Callable[..., Learner]) -> None:
    """Train as process `rank` of `count`; process 0 judges, reports and saves."""
    pictures = load(chosen.data, shapes=chosen.pictures)
    learner = make(chosen, rank, count)
    # How the work is divided does not change the training.
    settings = {name: value for name, value in settings_of(chosen).items() if name != "processes"}
    # Frameworks have equal settings and cannot read each other's state.
    own = {"data_sha256": pictures.sha256, "packages": learner.packages}
    checkpoint = Checkpoint(chosen.checkpoint, settings | own, chosen.epochs)
    found = checkpoint.latest()
    if found:
        learner.restore(found[1])
    first = found[0] if found else 0
    if rank == 0:
        parts = f"{len(pictures.train)} train, {len(pictures.validation)} choose, {len(pictures.test)} judge"
        print(f"{pictures.name}: {parts}" + (f"; going on after epoch {first}" if found else ""), flush=True)

    for epoch in range(first, chosen.epochs):
        random = np.random.default_rng((chosen.seed, epoch))
        order = random.permutation(len(pictures.train))
        begun, losses = time.perf_counter(), []
        for rows in order[: len(order) // chosen.batch * chosen.batch].reshape(-1, chosen.batch):
            # All processes draw the same changes and keep their own share.
            images = augment(pictures.train.images[rows], random)[rank::count]
            losses.append(learner.train(scaled(images), pictures.train.labels[rows][rank::count]))
        if rank == 0:
            seconds = time.perf_counter() - begun
            report(
                step=epoch + 1,
                loss=float(np.mean(losses)),
                val_accuracy=_accuracy(learner, pictures.validation),
                samples_per_second=len(losses) * chosen.batch / seconds,
            )
            checkpoint.save(epoch + 1, learner.save)
    if rank == 0:
        metrics = {
            "val_accuracy": _accuracy(learner, pictures.validation),
            "test_accuracy": _accuracy(learner, pictures.test),
        }
        report(test_accuracy=metrics["test_accuracy"])
        write_card(
            "model",
            data=pictures.sha256,
            settings=settings,
            metrics=metrics,
            packages=learner.packages,
            epochs=chosen.epochs,
            pictures=pictures.name,
        )
        learner.export(Path("model"))


def _accuracy(learner: Learner, part: Part) -> float:
    pieces = range(0, len(part), 500)
    found = np.concatenate([learner.scores(scaled(part.images[start : start + 500])).argmax(1) for start in pieces])
    return float(np.mean(found == part.labels))
