"""Two series of electricity load, hour by hour: drawn like real ones, or from a CSV file."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from trial import BadInput
from trial.tables import numbers, read_rows

DAY, WEEK, YEAR = 24, 7 * 24, 365.25 * 24
# What is known of each series at an hour: its value, its change, and the change of its change.
FEATURES = 6


def draw(hours: int, seed: int) -> np.ndarray:
    """Loads (hours, 2) in megawatts of a town and an industrial area under the same weather.

    Each is the sum of a yearly, a weekly and a daily cycle (with two peaks), an answer to the weather, which drifts
    over days, and noise: the parts that load curves are usually taken to have.
    """
    random = np.random.default_rng(seed)
    hour = np.arange(hours)
    weather = np.zeros(hours)  # degrees from the season's mean; remembers about three days
    for now in range(1, hours):
        weather[now] = 0.985 * weather[now - 1] + random.normal(0, 0.6)
    cold = np.cos(2 * np.pi * hour / YEAR) - weather / 12
    weekend = (hour // DAY % 7 >= 5).astype(float)
    clock = 2 * np.pi * (hour % DAY) / DAY
    town = 620 + 90 * cold - 35 * weekend - 130 * np.cos(clock - 0.6) - 60 * np.cos(2 * (clock - 2.0))
    works = 410 + 25 * cold - 150 * weekend * (hour % DAY > 5) - 95 * np.cos(clock) * (1 - 0.7 * weekend)
    noise = random.normal(0, (9, 12), (hours, 2))
    return np.column_stack([town, works]) + noise


def read(path: str, columns: list[str]) -> np.ndarray:
    """Two columns of a CSV file whose rows are consecutive hours, as (hours, 2)."""
    values = [numbers(where, row, columns) for where, row in read_rows(path, columns)]
    return np.array(values).reshape(-1, 2)


@dataclass(frozen=True)
class Windows:
    """What is seen (count, steps, FEATURES) and what comes next (count, 2), both scaled; `hours` says when."""

    seen: np.ndarray
    following: np.ndarray
    hours: np.ndarray


@dataclass(frozen=True)
class Scaled:
    """Three parts in the order of time, scaled by the training part's own mean and deviation."""

    train: Windows
    validation: Windows
    test: Windows
    mean: np.ndarray
    deviation: np.ndarray

    def loads(self, scaled: np.ndarray) -> np.ndarray:
        return scaled * self.deviation + self.mean


def prepare(loads: np.ndarray, steps: int) -> Scaled:
    """The first 70 % of the hours to learn from, 15 % to choose by, and the last 15 % to judge.

    A window lies in one part with everything that it is made of, so that no part has seen another's hours.
    """
    ends = [0, len(loads) * 70 // 100, len(loads) * 85 // 100, len(loads)]
    if ends[1] <= 3 * steps or ends[3] - ends[2] <= steps + 3:
        raise BadInput(f"{len(loads)} hours are too few for windows of {steps}")
    known = loads[: ends[1]]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    if not deviation.all():
        raise BadInput("a series that never changes cannot be forecast")
    scaled = (loads - mean) / deviation
    parts = [_windows(scaled, first, last, steps) for first, last in pairwise(ends)]
    return Scaled(*parts, mean, deviation)


def differences(scaled: np.ndarray) -> np.ndarray:
    """Values, first and second differences side by side; the first two hours, which have none, are left out."""
    first = np.diff(scaled, axis=0)
    second = np.diff(first, axis=0)
    return np.concatenate([scaled[2:], first[1:], second], axis=1)


def _windows(scaled: np.ndarray, first: int, last: int, steps: int) -> Windows:
    features = differences(scaled[first:last])
    starts = np.arange(len(features) - steps)
    seen = features[starts[:, None] + np.arange(steps)].astype(np.float32)
    hours = first + 2 + starts + steps
    return Windows(seen, scaled[hours].astype(np.float32), hours)
