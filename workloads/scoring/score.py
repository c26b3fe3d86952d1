"""Score one shard of many files with a trained model: one task a shard, and no file is lost.

Every file of the shard ends in `scores-K.csv` (file, row, answer, probability) or, with its reason, in `failed-K.csv`.
"""

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np
from trial import BadInput, Checkpoint, hash_arrays, report, run_program
from trial.arguments import add_checkpoint
from trial.card import hash_file

from .model import load_model, probabilities
from .sample import make_files, make_model

SCORES = ("file", "row", "answer", "probability")
FAILED = ("file", "reason")
SAVE_EVERY = 20  # files


def files_below(folder: Path) -> list[str]:
    """All CSV files below a folder, by their path in it, in one order for all shards."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such folder")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.csv"))
    if not found:
        raise BadInput(f"{folder}: there are no .csv files in it")
    return found


def shard_of(files: list[str], shard: int, shards: int) -> list[str]:
    """Every `shards`-th file from number `shard` on: shards differ by one file at most and add up to all."""
    if not 0 <= shard < shards:
        raise BadInput(f"--shard {shard} --shards {shards}: shards are numbered from 0 to {shards - 1}")
    return files[shard::shards]


def read_pictures(path: Path, width: int) -> np.ndarray:
    """The rows of a file; ValueError says what is wrong with it."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    if not rows:
        raise ValueError("the file is empty")
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise ValueError(f"row {number} has {len(row)} values, not {width}")
    values = np.array(rows, float)
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite")
    return values


def content_of(path: Path) -> str:
    """The hash of a file, or why it cannot be read."""
    try:
        return hash_file(path)
    except OSError as error:
        return str(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of .csv files, one picture a row; else a sample is made")
    parser.add_argument("--model", help="a model folder of from_scratch; else a small one is trained")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    add_checkpoint(parser)
    parser.add_argument("--smoke", action="store_true", help="at most two files of the shard")
    chosen = parser.parse_args()
    folder, models = Path(chosen.data or "sample"), Path(chosen.model or "sample-model")
    if chosen.data is None and not folder.exists():
        make_files(folder)
    if chosen.model is None and not models.exists():
        make_model(models)

    network, kind = load_model(models)
    files = shard_of(files_below(folder), chosen.shard, chosen.shards)[: 2 if chosen.smoke else None]
    width = len(network.weights["kernel0" if kind == "mlp" else "kernel"]) ** (2 if kind == "lstm" else 1)
    scores, failed = Path(f"scores-{chosen.shard}.csv"), Path(f"failed-{chosen.shard}.csv")
    # Other weights, or other contents under the same names, are another scoring.
    model, contents = hash_arrays(*network.weights.values()), [(name, content_of(folder / name)) for name in files]
    settings = {"shard": chosen.shard, "shards": chosen.shards, "model": model, "files": contents}
    checkpoint = Checkpoint(chosen.checkpoint, settings)

    # Saved under other names, so that no search for results takes a checkpoint for one.
    kept = {"scores": scores, "failed": failed}

    def restore(saved: Path) -> None:
        for name, path in kept.items():
            shutil.copyfile(saved / name, path)

    def save(saved: Path) -> None:
        for name, path in kept.items():
            shutil.copyfile(path, saved / name)

    first = checkpoint.resume(restore)
    if first == 0:
        scores.write_text(",".join(SCORES) + "\n")
        failed.write_text(",".join(FAILED) + "\n")
    if not files:  # more shards than files
        report(step=0, files_scored=0, files_failed=0)
    for number in range(first, len(files)):
        try:
            answers = probabilities(network, kind, read_pictures(folder / files[number], width))
        except (ValueError, OSError, csv.Error) as error:
            with failed.open("a", newline="") as file:
                csv.writer(file).writerow([files[number], error])
        else:
            with scores.open("a", newline="") as file:
                for row, answer in enumerate(answers, start=1):
                    csv.writer(file).writerow([files[number], row, answer.argmax(), f"{answer.max():.4f}"])
        if (number + 1) % SAVE_EVERY == 0 or number + 1 == len(files):
            checkpoint.save(number + 1, save)
            with failed.open(newline="") as file:
                wrong = sum(1 for _ in csv.reader(file)) - 1
            report(step=number + 1, files_scored=number + 1 - wrong, files_failed=wrong)


if __name__ == "__main__":
    run_program(main)
