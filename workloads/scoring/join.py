"""Join the shards' results, and make sure that every file is there exactly once: scored or failed."""

import argparse
import csv
import re
from collections import Counter
from pathlib import Path

from trial import BadInput, report, run_program

from .score import FAILED, SCORES, files_below


def read(paths: list[Path], columns: tuple[str, ...]) -> list[list[str]]:
    rows = []
    for path in paths:
        with path.open(newline="") as file:
            header, *content = [*csv.reader(file)] or [[]]
        if tuple(header) != columns or any(len(row) != len(columns) for row in content):
            raise BadInput(f"{path}: cut short, or not made by scoring.score")
        rows += content
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", nargs="+", type=Path, help="folders with scores-K.csv and failed-K.csv, at any depth"
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder that was scored")
    chosen = parser.parse_args()
    found = {path for folder in chosen.results for path in folder.rglob("*.csv")}
    scores = read(sorted(path for path in found if re.fullmatch(r"scores-\d+\.csv", path.name)), SCORES)
    failed = read(sorted(path for path in found if re.fullmatch(r"failed-\d+\.csv", path.name)), FAILED)

    pairs = Counter((file, row) for file, row, _, _ in scores)
    ends = Counter([*{file for file, _ in pairs}, *(file for file, _ in failed)])
    expected = set(files_below(chosen.data))
    twice = sorted({file for (file, _), count in pairs.items() if count > 1} | {f for f, n in ends.items() if n > 1})
    for what, files in (
        ("are in no shard's results (has a shard not ended?)", sorted(expected - ends.keys())),
        ("are in the results more than once", twice),
        ("are in the results but not in the data", sorted(ends.keys() - expected)),
    ):
        if files:
            raise BadInput(f"{len(files)} files {what}: {', '.join(files[:5])}{' ...' if len(files) > 5 else ''}")

    for name, columns, rows in (("scores.csv", SCORES, scores), ("failed.csv", FAILED, failed)):
        # Rows of one file keep their order; files come in order whatever shard they were in.
        with open(name, "w", newline="") as file:
            csv.writer(file).writerows([columns, *sorted(rows, key=lambda row: row[0])])
    for name, reason in sorted(map(tuple, failed)):
        print(f"failed: {name}: {reason}")
    report(files_scored=len(expected) - len(failed), files_failed=len(failed), rows=len(scores))


if __name__ == "__main__":
    run_program(main)
