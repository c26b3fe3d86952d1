"""A picture of the first week of a forecast beside what came."""

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw_forecast(path: str, hours: np.ndarray, truth: np.ndarray, guess: np.ndarray, names: list[str]) -> None:
    week = slice(7 * 24)
    figure, rows = plt.subplots(len(names), 1, figsize=(10, 2.8 * len(names)), sharex=True, squeeze=False)
    for column, (name, axes) in enumerate(zip(names, rows[:, 0], strict=True)):
        axes.plot(hours[week], truth[week, column], color="black", linewidth=1, label="truth")
        axes.plot(hours[week], guess[week, column], color="tab:orange", linewidth=1, label="forecast, an hour ahead")
        axes.set_ylabel(name)
    # Above the curves, which are highest where a legend would be.
    rows[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    rows[-1, 0].set_xlabel("hour")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)
