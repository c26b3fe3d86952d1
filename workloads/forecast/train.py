"""Forecast the next hour's electricity load of two places by an LSTM that sees values, changes and their changes."""

import argparse
from functools import partial

import numpy as np
from trial import BadInput, Checkpoint, hash_arrays, report, run_program, settings_of, training_parser, write_card
from trial.keras_training import PACKAGES, keras, prepare, restore_state, save_state

from . import series
from .plot import draw_forecast


def arguments() -> argparse.Namespace:
    parser = training_parser(__doc__, epochs=12)
    parser.add_argument("--lr", type=float, default=0.003, help="learning rate of Adam")
    parser.add_argument("--units", type=int, default=32, help="units of the LSTM")
    parser.add_argument("--steps", type=int, default=48, help="hours that are seen")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--hours", type=int, default=8_760, help="hours to draw, without --data")
    parser.add_argument("--data", help="CSV with one row an hour")
    parser.add_argument("--columns", default="town,works", help="the two columns of it, with a comma between")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.epochs, chosen.hours, chosen.steps = min(chosen.epochs, 2), min(chosen.hours, 1_000), 12
    if min(chosen.lr, chosen.units, chosen.steps, chosen.batch, chosen.hours) <= 0:
        raise BadInput("--lr, --units, --steps, --batch and --hours must be above 0")
    if len(chosen.columns.split(",")) != 2:
        raise BadInput(f"--columns {chosen.columns}: two names with a comma between are needed")
    return chosen


def main() -> None:
    chosen = arguments()
    prepare(chosen.seed, chosen.threads)
    loads = series.read(chosen.data, chosen.columns.split(",")) if chosen.data else series.draw(chosen.hours, seed=0)
    parts = series.prepare(loads, chosen.steps)
    model = keras.Sequential(
        [
            keras.Input((chosen.steps, series.FEATURES)),
            keras.layers.LSTM(chosen.units),
            keras.layers.Dense(2, kernel_initializer="zeros"),
        ]
    )
    model.compile(keras.optimizers.Adam(chosen.lr), "mse")
    train = parts.train
    # The network says how the load changes: a network of zeros is the forecast "as it was an hour ago".
    change = train.following - train.seen[:, -1, :2]
    checkpoint = Checkpoint(chosen.checkpoint, settings_of(chosen) | {"data_sha256": hash_arrays(loads)}, chosen.epochs)

    def forecast(windows: series.Windows) -> np.ndarray:
        return model.predict(windows.seen, batch_size=1_000, verbose=0) + windows.seen[:, -1, :2]

    for epoch in range(checkpoint.resume(partial(restore_state, model)), chosen.epochs):
        order = np.random.default_rng((chosen.seed, epoch)).permutation(len(change))
        fitted = model.fit(train.seen[order], change[order], batch_size=chosen.batch, shuffle=False, verbose=0)
        guess, truth = parts.loads(forecast(parts.validation)), parts.loads(parts.validation.following)
        report(step=epoch + 1, loss=fitted.history["loss"][0], val_rmse=rmse(guess, truth), val_mape=mape(guess, truth))
        checkpoint.save(epoch + 1, partial(save_state, model))

    guess, truth = parts.loads(forecast(parts.validation)), parts.loads(parts.validation.following)
    metrics = {"val_rmse": rmse(guess, truth), "val_mape": mape(guess, truth)}
    guess, truth = parts.loads(forecast(parts.test)), parts.loads(parts.test.following)
    metrics |= {"test_rmse": rmse(guess, truth), "test_mape": mape(guess, truth)}
    hours = parts.test.hours
    metrics["test_mape_hour_before"] = mape(loads[hours - 1], truth)
    metrics["test_mape_day_before"] = mape(loads[hours - series.DAY], truth)
    report(**{name: value for name, value in metrics.items() if name.startswith("test_")})
    write_card(
        "model",
        data=hash_arrays(loads),
        settings=settings_of(chosen),
        metrics=metrics,
        packages=PACKAGES,
        epochs=chosen.epochs,
        mean=parts.mean.tolist(),
        deviation=parts.deviation.tolist(),
    )
    model.save("model/model.keras")
    draw_forecast("forecast.png", hours, truth, guess, chosen.columns.split(","))


def rmse(guess: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error, in the series' own unit."""
    return float(np.sqrt(np.mean((guess - truth) ** 2)))


def mape(guess: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error in percent of the truth; an hour without load does not count."""
    counted = truth != 0
    return float(100 * np.mean(np.abs(guess - truth)[counted] / np.abs(truth[counted])))


if __name__ == "__main__":
    run_program(main)
