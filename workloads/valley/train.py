"""Gradient descent in a curved valley: a training that takes milliseconds, to try searches on.

Minimises Rosenbrock's function (H. Rosenbrock, The Computer Journal, 1960) from its usual start; the least loss is 0.
"""

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

from orchestrator import report

STEPS = 10  # of an epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--optimizer", choices=["sgd", "sign"], default="sgd", help="sign: steps of one length")
    parser.add_argument("--epochs", type=int, default=20, help="that this trial trains")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of the gradient's error")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that an epoch takes longer")
    args = parser.parse_args()

    state = {"epoch": 0, "place": [-1.2, 1.0], "speed": [0.0, 0.0], "trial": None, "until": 0}
    trial = [os.environ.get("ORCHESTRATE_RUN"), os.environ.get("ORCHESTRATE_TRIAL")]
    folder = os.environ.get("ORCHESTRATE_CHECKPOINT")
    saved = Path(folder) / "state.json" if folder else None
    if saved is not None and saved.exists():
        state = json.loads(saved.read_text())
        print(f"going on after epoch {state['epoch']}")
    # A trial that was cut short goes on to where it was bound; one that is handed another's state goes on from there.
    until = state["until"] if state["trial"] == trial else state["epoch"] + args.epochs
    (x, y), (u, v) = state["place"], state["speed"]
    for epoch in range(state["epoch"] + 1, until + 1):
        chance = random.Random(f"{args.seed}/{epoch}")
        time.sleep(args.pause)
        for _ in range(STEPS):
            slope = [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)]
            slope = [one + chance.gauss(0, args.noise) for one in slope]
            if args.optimizer == "sign":
                slope = [math.copysign(1, one) for one in slope]
            u, v = (args.momentum * old - args.lr * one for old, one in zip((u, v), slope, strict=True))
            x, y = (min(max(place + move, -3.0), 3.0) for place, move in ((x, u), (y, v)))
        report(step=epoch, loss=(1 - x) ** 2 + 100 * (y - x * x) ** 2, epochs=epoch)
        if saved is not None:
            part = saved.with_suffix(".part")
            state = {"epoch": epoch, "place": [x, y], "speed": [u, v], "trial": trial, "until": until}
            part.write_text(json.dumps(state))
            part.replace(saved)


if __name__ == "__main__":
    main()
