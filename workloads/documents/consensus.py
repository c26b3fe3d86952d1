"""The second stage: several classifiers' answers (`predictions.npz`) become one.

Each classifier's probabilities are weighted; the weights are chosen on the validation part alone, and the consensus is
judged on the test part beside each single classifier.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from trial import BadInput, report, run_program
from trial.arrays import read_npz

from .scores import draw_confusion, metrics_of

NAMES = ("classes", "val_labels", "val_probabilities", "test_labels", "test_probabilities")


def find(places: list[str]) -> list[Path]:
    """The files named, and every `predictions.npz` below the folders named."""
    paths = []
    for place in map(Path, places):
        if not place.exists():
            raise BadInput(f"{place}: there is no such file or folder")
        paths += sorted(place.rglob("predictions.npz")) if place.is_dir() else [place]
    if len(paths) < 2:
        raise BadInput(f"{', '.join(places)}: a consensus needs two predictions.npz or more, not {len(paths)}")
    return paths


def choose_weights(probabilities: list[np.ndarray], labels: np.ndarray, steps: int = 10) -> tuple[float, ...]:
    """Shares that add up to 1, in steps of a tenth, with the best accuracy; of equal ones the most even."""

    def merit(shares: tuple[int, ...]) -> tuple[float, float]:
        found = weighted(probabilities, shares).argmax(axis=1)
        return float(np.mean(found == labels)), -float(np.var(shares))

    # Bars between the steps' stars: what lies between two bars is one classifier's share.
    places = range(steps + len(probabilities) - 1)
    barred = ((-1, *bars, len(places)) for bars in itertools.combinations(places, len(probabilities) - 1))
    best = max((tuple(b - a - 1 for a, b in itertools.pairwise(bars)) for bars in barred), key=merit)
    return tuple(share / steps for share in best)


def weighted(probabilities: list[np.ndarray], shares: tuple[float, ...]) -> np.ndarray:
    return sum(share * one for share, one in zip(shares, probabilities, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", nargs="+", help="predictions.npz files, or folders that hold them")
    paths = find(parser.parse_args().predictions)
    voters = [read_npz(path, NAMES) for path in paths]
    for path, voter in zip(paths, voters, strict=True):
        if any(not np.array_equal(voter[name], voters[0][name]) for name in ("classes", "val_labels", "test_labels")):
            raise BadInput(f"{path} and {paths[0]} are answers about different documents")

    shares = choose_weights([voter["val_probabilities"] for voter in voters], voters[0]["val_labels"])
    classes = voters[0]["classes"].tolist()
    for path, voter, share in zip(paths, voters, shares, strict=True):
        alone = metrics_of("test", voter["test_probabilities"].argmax(axis=1), voter["test_labels"], len(classes))
        print(f"{path}: weight {share:.1f}, alone {alone['test_accuracy']:.1%}")
    metrics = {}
    for prefix in ("val", "test"):
        merged = weighted([voter[f"{prefix}_probabilities"] for voter in voters], shares)
        metrics |= metrics_of(prefix, merged.argmax(axis=1), voters[0][f"{prefix}_labels"], len(classes))
    report(step=1, **metrics)
    draw_confusion("consensus.png", merged.argmax(axis=1), voters[0]["test_labels"], classes)


if __name__ == "__main__":
    run_program(main)
