"""Forecasts: what is known of an hour, that no part sees another's hours, and training that repeats."""

import numpy as np
import pytest
from forecast import series
from trial import BadInput


def test_differences_are_the_changes_and_their_changes() -> None:
    loads = np.array([[1.0, 10.0], [3.0, 20.0], [4.0, 40.0], [8.0, 30.0]])
    np.testing.assert_allclose(series.differences(loads), [[4, 40, 1, 20, -1, 10], [8, 30, 4, -10, 3, -30]])


def test_what_follows_a_window_is_the_next_hour() -> None:
    loads = series.draw(1_000, seed=1)
    parts = series.prepare(loads, steps=24)
    for part in (parts.train, parts.validation, parts.test):
        np.testing.assert_allclose(parts.loads(part.following), loads[part.hours], rtol=1e-5)
        np.testing.assert_allclose(parts.loads(part.seen[:, -1, :2]), loads[part.hours - 1], rtol=1e-4)
        np.testing.assert_allclose(parts.loads(part.seen[:, 0, :2]), loads[part.hours - 24], rtol=1e-4)


def test_a_part_knows_nothing_of_later_hours() -> None:
    loads = series.draw(1_000, seed=1)
    changed = loads.copy()
    changed[700:] += 1_000
    before, after = series.prepare(loads, 24), series.prepare(changed, 24)
    np.testing.assert_array_equal(before.train.seen, after.train.seen)
    np.testing.assert_array_equal(before.mean, after.mean)
    assert before.train.hours.max() < 700 <= before.validation.hours.min() - 26
    assert before.validation.hours.max() < 850 <= before.test.hours.min() - 26
    assert before.test.hours.max() == 999


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hour,town\n1,2\n", "no column works; there are hour, town"),
        ("town,works\n1,2\n1,many\n", ":3: town, works must be finite numbers"),
        ("town,works\n1,2\n1\n", ":3: town, works must be finite numbers"),
        ("town,works\n1,nan\n", ":2: town, works must be finite numbers"),
    ],
)
def test_a_bad_file_is_refused_and_its_line_is_named(tmp_path, content: str, message: str) -> None:
    (tmp_path / "load.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        series.read(str(tmp_path / "load.csv"), ["town", "works"])


def test_too_few_or_constant_hours_are_refused() -> None:
    with pytest.raises(BadInput, match="too few"):
        series.prepare(np.random.default_rng(0).normal(size=(60, 2)), 24)
    with pytest.raises(BadInput, match="never changes"):
        series.prepare(np.ones((1_000, 2)), 24)


def test_errors_are_those_of_scikit_learn(keras) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    from forecast.train import mape, rmse

    guess, truth = np.random.default_rng(0).normal(5, 2, (2, 50, 2))
    assert rmse(guess, truth) == pytest.approx(metrics.mean_squared_error(truth, guess) ** 0.5)
    assert mape(guess, truth) == pytest.approx(100 * metrics.mean_absolute_percentage_error(truth, guess))


def test_a_training_beats_the_forecast_that_all_stays_as_it_was_an_hour_before(program_here, keras, tmp_path) -> None:
    loads = series.draw(1_500, seed=0)
    np.savetxt(tmp_path / "load.csv", loads, delimiter=",", header="town,works", comments="")
    settings = ("--data", tmp_path / "load.csv", "--steps", 24, "--units", 16, "--lr", 0.02)
    done = program_here("forecast.train", *settings, "--epochs", 5)
    metrics = done.card["metrics"]
    assert metrics["test_mape"] < metrics["test_mape_hour_before"]
    assert (done.folder / "forecast.png").stat().st_size > 10_000
