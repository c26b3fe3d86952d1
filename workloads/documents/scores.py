"""Accuracy, the mean F1 over the classes, and confusion matrices, as numbers and as a picture."""

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def confusion(found: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How often a document of the row's class was taken for one of the column's."""
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (labels, found), 1)
    return matrix


def metrics_of(prefix: str, found: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, float]:
    """`PREFIX_accuracy` and `PREFIX_f1`: F1 of each class, all classes counted alike."""
    matrix = confusion(found, labels, classes)
    right, said, were = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    f1 = 2 * right / np.maximum(said + were, 1)
    return {f"{prefix}_accuracy": float(right.sum() / len(labels)), f"{prefix}_f1": float(f1.mean())}


def draw_confusion(path: str, found: np.ndarray, labels: np.ndarray, classes: list[str]) -> None:
    matrix = confusion(found, labels, len(classes))
    figure, axes = plt.subplots(figsize=(1.5 + 0.6 * len(classes), 1 + 0.6 * len(classes)))
    axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        share = count / max(matrix[row].sum(), 1)
        axes.text(column, row, str(count), ha="center", va="center", color="white" if share > 0.5 else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="taken for", ylabel="is", title=f"accuracy {np.trace(matrix) / max(matrix.sum(), 1):.1%}")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)
