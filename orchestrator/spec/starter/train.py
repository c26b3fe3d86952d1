"""Tells points inside a ring from points outside it: logistic regression by stochastic gradient descent.

Plain Python, a second or two a run. Put your own training here: what a sweep needs of it is a way to give it
parameters, and `report()` for what it measures.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path

from orchestrator import report

Point = tuple[list[float], int]


def points(count: int, seed: int) -> list[Point]:
    """Noisy points of the plane, and whether each lies inside the ring."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        x, y = draw.uniform(-1, 1), draw.uniform(-1, 1)
        inside = 0.3 < math.hypot(x, y) + draw.gauss(0, 0.05) < 0.8
        found.append(([x, y], int(inside)))
    return found


def features(place: list[float], degree: int) -> list[float]:
    """All products of the two coordinates up to a degree: what a straight line is drawn in."""
    x, y = place
    return [x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)]


def probability(weights: list[float], inputs: list[float]) -> float:
    """How likely a point lies inside."""
    score = sum(w * v for w, v in zip(weights, inputs, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def main() -> None:
    """Train, report after every epoch, leave the model behind."""
    options = argparse.ArgumentParser()
    options.add_argument("--lr", type=float, required=True)
    options.add_argument("--degree", type=int, required=True)
    options.add_argument("--epochs", type=int, default=10)
    given = options.parse_args()

    training = [(features(place, given.degree), label) for place, label in points(1500, seed=1)]
    validation = [(features(place, given.degree), label) for place, label in points(500, seed=2)]
    weights = [0.0] * len(training[0][0])
    order = random.Random(3)
    for epoch in range(1, given.epochs + 1):
        order.shuffle(training)
        loss = 0.0
        for inputs, label in training:
            found = probability(weights, inputs)
            loss -= math.log(max(1e-12, found if label else 1 - found)) / len(training)
            step = given.lr * (label - found)
            weights = [w + step * v for w, v in zip(weights, inputs, strict=True)]
        right = sum((probability(weights, inputs) > 0.5) == bool(label) for inputs, label in validation)
        report(step=epoch, loss=loss, val_accuracy=right / len(validation))
        print(f"epoch {epoch}: loss {loss:.4f}, validation accuracy {right / len(validation):.3f}")

    Path("model").mkdir(exist_ok=True)
    Path("model/weights.json").write_text(json.dumps({"degree": given.degree, "weights": weights}))


if __name__ == "__main__":
    main()
