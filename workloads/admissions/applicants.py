"""Applicants to a graduate school: GRE, GPA and the rank of their college, and whether they were admitted."""

import csv
from pathlib import Path

import numpy as np
from trial import BadInput

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
    if not Path(path).is_file():
        raise BadInput(f"{path}: there is no such file")
    with open(path, newline="") as file:
        rows = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or [])]
        if missing:
            raise BadInput(f"{path}: no column {', '.join(missing)} (needed: {', '.join(COLUMNS)})")
        values = [_values(row, f"{path}:{rows.line_num}") for row in rows]
    if len(values) < 20:
        raise BadInput(f"{path}: only {len(values)} applicants; at least 20 are needed")
    table = np.array(values)
    return table[:, 1:], table[:, 0]


def features(applicants: np.ndarray) -> np.ndarray:
    """GRE and GPA in units of about one standard deviation, and one column for each rank."""
    gre, gpa, rank = applicants.T
    return np.column_stack([(gre - 588) / 115.5, (gpa - 3.39) / 0.381, rank[:, None] == [1, 2, 3, 4]])


def _values(row: dict[str, str], where: str) -> list[float]:
    try:
        admit, gre, gpa, rank = (float(row[name]) for name in COLUMNS)
    except (TypeError, ValueError):
        raise BadInput(
            f"{where}: {', '.join(COLUMNS)} must be numbers, not {[row[name] for name in COLUMNS]}"
        ) from None
    if admit not in (0, 1) or rank not in (1, 2, 3, 4):
        raise BadInput(f"{where}: admit must be 0 or 1 and rank 1 to 4, not {admit:g} and {rank:g}")
    return [admit, gre, gpa, rank]
