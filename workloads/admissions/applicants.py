"""Applicants to a graduate school: GRE, GPA and the rank of their college, and whether they were admitted."""

import numpy as np
from trial import BadInput
from trial.tables import numbers, read_rows

COLUMNS = ("admit", "gre", "gpa", "rank")

# Log-odds of admission that UCLA's statistics pages fitted to their 400 applicants ("Logit regression").
_INTERCEPT, _GRE, _GPA, _RANK = -3.990, 0.002264, 0.8040, np.array([0.0, -0.6754, -1.3402, -1.5515])


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Applicants (gre, gpa, rank) like UCLA's, admitted at random by the published odds."""
    random = np.random.default_rng(seed)
    gre = np.clip(np.round(random.normal(588, 115.5, count), -1), 220, 800)
    gpa = np.clip(np.round(random.normal(3.39, 0.381, count), 2), 2.26, 4)
    rank = random.choice(4, count, p=[0.1525, 0.3775, 0.3025, 0.1675])
    odds = np.exp(_INTERCEPT + _GRE * gre + _GPA * gpa + _RANK[rank])
    return np.column_stack([gre, gpa, rank + 1]), (random.random(count) < odds / (1 + odds)).astype(float)


def read(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Applicants from a CSV file with the columns admit, gre, gpa and rank."""
    values = [_values(row, where) for where, row in read_rows(path, COLUMNS)]
    if len(values) < 20:
        raise BadInput(f"{path}: only {len(values)} applicants; at least 20 are needed")
    table = np.array(values)
    return table[:, 1:], table[:, 0]


def load(path: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Features and answers of those in the file, or of 2,000 drawn: 60 % train, 20 % choose, 20 % judge."""
    people, admitted = read(path) if path else draw(2_000, seed=0)
    part = np.random.default_rng(0).permutation(len(people)) * 10 // len(people)
    x, y = features(people), admitted[:, None]
    return [(x[rows], y[rows]) for rows in (part < 6, (part >= 6) & (part < 8), part >= 8)]


def features(applicants: np.ndarray) -> np.ndarray:
    """GRE and GPA in units of about one standard deviation, and one column for each rank."""
    gre, gpa, rank = applicants.T
    return np.column_stack([(gre - 588) / 115.5, (gpa - 3.39) / 0.381, rank[:, None] == [1, 2, 3, 4]])


def _values(row: dict[str, str | None], where: str) -> list[float]:
    admit, gre, gpa, rank = numbers(where, row, COLUMNS)
    if admit not in (0, 1) or rank not in (1, 2, 3, 4):
        raise BadInput(f"{where}: admit must be 0 or 1 and rank 1 to 4, not {admit:g} and {rank:g}")
    return [admit, gre, gpa, rank]
