"""Learn handwritten digits with numpy alone: logistic regression, a perceptron with hidden layers, or an LSTM."""

import argparse
import time
from pathlib import Path

import numpy as np
from digits.data import CLASSES, Digits, Part, load
from trial import BadInput, Checkpoint, report, run_program, settings_of, training_parser, write_card

from .logistic import Logistic
from .lstm import Lstm
from .mlp import Perceptron
from .network import Network, accuracy, batches, descend


def arguments() -> argparse.Namespace:
    parser = training_parser(__doc__, epochs=30, threads=False)
    parser.add_argument("--model", choices=["logistic", "mlp", "lstm"], default="mlp")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--l2", type=float, default=1e-4, help="weight decay")
    parser.add_argument("--width", type=int, default=64, help="hidden units")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--data", help="MNIST: a folder, mnist.npz or a URL; else scikit-learn's digits")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs = min(chosen.epochs, 2)
    if min(chosen.lr, chosen.width, chosen.batch) <= 0 or not 0 <= chosen.momentum < 1:
        raise BadInput("--lr, --width and --batch must be above 0, --momentum from 0 to below 1")
    return chosen


def main() -> None:
    chosen = arguments()
    digits = load(chosen.data)
    network = build(chosen, digits)
    speeds = {name: np.zeros_like(weight) for name, weight in network.weights.items()}
    checkpoint = Checkpoint(chosen.checkpoint, settings_of(chosen) | {"data_sha256": digits.sha256}, chosen.epochs)

    def save(folder: Path) -> None:
        np.savez(folder / "weights.npz", **network.weights)
        np.savez(folder / "speeds.npz", **speeds)

    def restore(folder: Path) -> None:
        network.weights.update(np.load(folder / "weights.npz"))
        speeds.update(np.load(folder / "speeds.npz"))

    inputs = shaped(chosen.model, digits.train)
    for epoch in range(checkpoint.resume(restore), chosen.epochs):
        started, losses = time.perf_counter(), []
        for rows in batches(len(inputs), chosen.batch, (chosen.seed, epoch)):
            loss, gradients = network.loss_and_gradients(inputs[rows], digits.train.labels[rows])
            descend(network.weights, gradients, speeds, chosen.lr, chosen.momentum, chosen.l2)
            losses.append(loss)
        seconds = time.perf_counter() - started
        report(
            step=epoch + 1,
            loss=float(np.mean(losses)),
            val_accuracy=judge(network, chosen.model, digits.validation),
            samples_per_second=len(inputs) / seconds,
        )
        checkpoint.save(epoch + 1, save)

    metrics = {
        f"{name}_accuracy": judge(network, chosen.model, part)
        for name, part in (("val", digits.validation), ("test", digits.test))
    }
    report(test_accuracy=metrics["test_accuracy"])
    write_card(
        "model",
        data=digits.sha256,
        settings=settings_of(chosen),
        metrics=metrics,
        packages=["numpy"],
        epochs=chosen.epochs,
    )
    np.savez("model/weights.npz", **network.weights)


def build(chosen: argparse.Namespace, digits: Digits) -> Network:
    random = np.random.default_rng(chosen.seed)
    if chosen.model == "logistic":
        return Logistic(digits.side**2, CLASSES, random)
    if chosen.model == "mlp":
        return Perceptron([digits.side**2, chosen.width, chosen.width, CLASSES], random)
    return Lstm(digits.side, chosen.width, CLASSES, random)


def shaped(model: str, part: Part) -> np.ndarray:
    """An LSTM reads rows; the others see all pixels at once. Zero in the middle, which helps all three."""
    images = part.images.astype(np.float64) - 0.5
    return images if model == "lstm" else images.reshape(len(images), -1)


def judge(network: Network, model: str, part: Part) -> float:
    return accuracy(network, shaped(model, part), part.labels)


if __name__ == "__main__":
    run_program(main)
