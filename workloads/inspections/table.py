"""Food inspections in the columns of the City of Chicago's open data: checked, or drawn where there is no file."""

import csv
from pathlib import Path

import numpy as np
from trial.tables import read_rows

COLUMNS = (
    "Inspection ID",
    "DBA Name",
    "License #",
    "Facility Type",
    "Risk",
    "Inspection Date",
    "Inspection Type",
    "Results",
    "Violations",
)
NEEDED = ("License #", "Results", "Violations")
# What an inspection can end with and still tells something; others (No Entry, Out of Business) are left out.
PASSED, FAILED = ("Pass", "Pass w/ Conditions"), ("Fail",)

_SERIOUS = (
    "cold holding unit at 58F, potentially hazardous food discarded",
    "evidence of rodent droppings along the wall of the storage area",
    "no hot water at the hand sink in the prep area",
    "live roaches observed under the dish machine",
    "raw chicken stored above ready to eat salad",
    "sewage backing up through the floor drain",
    "no certified food manager on duty while food is prepared",
    "chemical spray bottles stored over the food line",
)
_MINOR = (
    "ceiling tile stained in the dining area, instructed to replace",
    "floor under the cooking equipment needs detail cleaning",
    "wiping cloths not stored in sanitizer between uses",
    "missing light shield in the walk-in cooler",
    "cutting boards with deep dark grooves, instructed to replace",
    "personal items of employees stored on the prep table",
    "outside garbage area needs to be kept clean",
    "thermometer missing in the reach-in cooler",
    "shelf in the dry storage is rusty and must be painted",
    "back door not rodent proofed, gap at the bottom must be closed",
)


def draw(path: Path, rows: int, seed: int) -> None:
    """Write inspections of made-up places, whose inspector mostly, and not always, fails what is serious."""
    random = np.random.default_rng(seed)
    places = rows // 4 + 1
    care = random.normal(0, 1, places)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for number in range(rows):
            place = int(random.integers(places))
            serious = random.choice(_SERIOUS, random.poisson(np.exp(-0.7 - 0.5 * care[place])), replace=True)
            minor = random.choice(_MINOR, random.poisson(1.5), replace=True)
            failed = random.random() < 1 / (1 + np.exp(-(-2.2 + 2.6 * len(serious) + 0.2 * len(minor))))
            result = "Fail" if failed else ("Pass w/ Conditions" if len(serious) else "Pass")
            if random.random() < 0.05:
                result = str(random.choice(["No Entry", "Out of Business"]))
            remarks = random.permutation([*serious, *minor]).tolist()
            text = " | ".join(f"{random.integers(1, 60)}. Comments: {remark.upper()}." for remark in remarks)
            day = f"{random.integers(1, 13):02}/{random.integers(1, 29):02}/{random.integers(2015, 2020)}"
            kind = ("Restaurant", "Grocery Store", "School")[int(random.integers(3))]
            name = f"PLACE {place}"
            out.writerow([number, name, 10_000 + place, kind, "Risk 1 (High)", day, "Canvass", result, text])


def check(path: Path) -> None:
    """Refuse a file that is not there or lacks a column that is needed; its rows are Spark's matter."""
    next(read_rows(path, NEEDED, errors="replace"), None)
