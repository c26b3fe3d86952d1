"""How good the searches are: best values beside Optuna used directly, and what early stopping saves and costs.

``python -m benchmarks.search_quality [--seeds N] [--trials N] [--samplers NAME...] [--problems NAME...]``

Four trials are in flight at any time; they end in an order that is drawn from the seed, the same for both sides.  A
difference counts when a one-sided Mann-Whitney test over the seeds is 99 % sure of it.
"""

from __future__ import annotations

import argparse
import heapq
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import optuna
from scipy.stats import mannwhitneyu

from benchmarks.report import Figure
from orchestrator.search import Told, make_search, make_stopper
from orchestrator.spec import Spec

IN_FLIGHT = 4
SURE = 0.99
EPOCHS = 12
Params = Mapping[str, Any]


# ----------------------------------------------------------------------------------------------------------- problems


def branin(params: Params) -> float:
    """Least value 0.397887.  Source: L. Dixon and G. Szego, Towards global optimisation 2, 1978."""
    x, y = params["x"], params["y"]
    bend = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return float(bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_HARTMANN_C = np.array([1.0, 1.2, 3.0, 3.2])


def hartmann6(params: Params) -> float:
    """Least value -3.32237.  Source: as Branin's."""
    point = np.array([params[f"x{number}"] for number in range(6)])
    return float(-(_HARTMANN_C * np.exp(-(_HARTMANN_A * (point - _HARTMANN_P) ** 2).sum(axis=1))).sum())


@lru_cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's digits, a third of them for validation."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images, labels = data.data[order] / 16.0, data.target[order]
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


def training(params: Params, epochs: int, seed: int = 0) -> Iterator[float]:
    """The validation error of a perceptron with one hidden layer after each epoch of momentum descent."""
    images, labels, held, truth = digits()
    random = np.random.default_rng(seed)
    width, batch, rate = params["width"], params["batch"], params["lr"]
    layers = [
        random.normal(0, math.sqrt(2 / 64), (64, width)),
        np.zeros(width),
        random.normal(0, math.sqrt(2 / width), (width, 10)),
        np.zeros(10),
    ]
    moves = [np.zeros_like(layer) for layer in layers]
    targets = np.eye(10)[labels]
    with np.errstate(all="ignore"):
        for _ in range(epochs):
            for part in np.array_split(random.permutation(len(images)), len(images) // batch):
                hidden = np.maximum(images[part] @ layers[0] + layers[1], 0)
                raw = hidden @ layers[2] + layers[3]
                guess = np.exp(raw - raw.max(axis=1, keepdims=True))
                guess /= guess.sum(axis=1, keepdims=True)
                slope = (guess - targets[part]) / len(part)
                back = (slope @ layers[2].T) * (hidden > 0)
                slopes = [images[part].T @ back, back.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)]
                for layer, move, own in zip(layers, moves, slopes, strict=True):
                    move *= params["momentum"]
                    move -= rate * (own + params["decay"] * layer)
                    layer += move
            final = np.maximum(held @ layers[0] + layers[1], 0) @ layers[2] + layers[3]
            yield float(np.mean(np.argmax(np.nan_to_num(final), axis=1) != truth))


def mlp(params: Params) -> float:
    return min(training(params, EPOCHS))


MLP_SPACE = {
    "lr": {"loguniform": [1e-4, 3.0]},
    "momentum": {"uniform": [0.0, 0.99]},
    "decay": {"loguniform": [1e-7, 1e-1]},
    "width": {"loginteger": [4, 128]},
    "batch": {"choice": [16, 32, 64, 128]},
}
PROBLEMS: dict[str, tuple[dict[str, Any], Callable[[Params], float]]] = {
    "Branin": ({"x": {"uniform": [-5, 10]}, "y": {"uniform": [0, 15]}}, branin),
    "Hartmann-6": ({f"x{number}": {"uniform": [0, 1]} for number in range(6)}, hartmann6),
    "digits": (MLP_SPACE, mlp),
}


# ---------------------------------------------------------------------------------------------------------- two sides


class Ours:
    def __init__(self, algorithm: str, space: dict[str, Any], trials: int, seed: int) -> None:
        self.search = make_search(sweep(space, algorithm=algorithm, trials=trials, seed=seed))

    def ask(self, trial: int) -> Params:
        params = self.search.ask(trial)
        assert params is not None
        return params

    def tell(self, trial: int, params: Params, value: float) -> None:
        self.search.tell(Told(trial, params, "succeeded", value, {"loss": value}))


class Direct:
    """Optuna as its own users use it: a study with a sampler's defaults, asked and told."""

    def __init__(self, algorithm: str, space: dict[str, Any], trials: int, seed: int) -> None:
        samplers = {
            "random": optuna.samplers.RandomSampler,
            "tpe": optuna.samplers.TPESampler,
            "gp": optuna.samplers.GPSampler,
            "cmaes": optuna.samplers.CmaEsSampler,
        }
        self.study = optuna.create_study(sampler=samplers[algorithm](seed=seed))
        self.space = space
        self.trials: dict[int, optuna.Trial] = {}

    def ask(self, trial: int) -> Params:
        asked = self.trials[trial] = self.study.ask()
        return {name: self._suggest(asked, name, *next(iter(kind.items()))) for name, kind in self.space.items()}

    def _suggest(self, trial: optuna.Trial, name: str, kind: str, arguments: list[Any]) -> Any:
        match kind:
            case "uniform" | "loguniform":
                return trial.suggest_float(name, *arguments, log=kind == "loguniform")
            case "loginteger":
                return trial.suggest_int(name, *arguments, log=True)
        return trial.suggest_categorical(name, arguments)

    def tell(self, trial: int, params: Params, value: float) -> None:
        self.study.tell(self.trials.pop(trial), value)


def sweep(space: dict[str, Any], **search: Any) -> Spec:
    settings = {"metric": "loss", "goal": "minimize", **search}
    return Spec.model_validate(
        {"name": "quality", "workload": {"command": "true"}, "parameters": space, "search": settings}
    )


def values(side: Ours | Direct, problem: Callable[[Params], float], trials: int, seed: int) -> list[float]:
    """The value of each trial, in the order in which they end."""
    lengths = np.random.default_rng(seed).uniform(0.5, 1.5, trials)
    running: list[tuple[float, int, Params]] = []
    found = []
    begun, now = 0, 0.0
    while begun < trials or running:
        while begun < trials and len(running) < IN_FLIGHT:
            heapq.heappush(running, (now + lengths[begun], begun, side.ask(begun)))
            begun += 1
        now, trial, params = heapq.heappop(running)
        value = problem(params)
        found.append(value)
        side.tell(trial, params, value)
    return found


def compared(name: str, algorithm: str, seeds: int, trials: int) -> Iterator[Figure]:
    space, problem = PROBLEMS[name]
    ours = [values(Ours(algorithm, space, trials, seed), problem, trials, seed) for seed in range(seeds)]
    direct = [values(Direct(algorithm, space, trials, seed), problem, trials, seed) for seed in range(seeds)]
    for count in sorted({min(50, trials), trials}):
        own, other = ([min(run[:count]) for run in side] for side in (ours, direct))
        # The probability of seeing this if ours were not worse; its complement is how sure we are that it is.
        sure = 1 - mannwhitneyu(own, other, alternative="greater").pvalue if own != other else 0.0
        yield Figure(
            f"{name}, {algorithm}, best of {count}",
            float(sure),
            "sure that Optuna directly is better",
            most=SURE,
            note=f"median {median(own):.4g}, directly {median(other):.4g}",
        )


# ------------------------------------------------------------------------------------------------------ early stopping

RULES: dict[str, dict[str, Any]] = {
    "asha": {"rule": "asha", "first": 1, "reduction": 3, "last": 27},
    "hyperband": {"rule": "hyperband", "first": 1, "reduction": 3, "last": 27},
    "median": {"rule": "median", "after": 2},
}


def stopped(rule: dict[str, Any], curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The best error and the share of the epochs, with four trials side by side, an epoch each in turn."""
    stopper = make_stopper(sweep({"x": [1, 2]}, early_stopping=rule))
    assert stopper is not None
    best, used, begun = 1.0, 0, 0
    running: list[list[int]] = []
    while begun < len(curves) or running:
        while begun < len(curves) and len(running) < IN_FLIGHT:
            running.append([begun, 0])
            begun += 1
        for state in list(running):
            trial, epoch = state
            error = curves[trial][epoch]
            best, used, state[1] = min(best, error), used + 1, epoch + 1
            if stopper.observe(trial, epoch + 1, error) is not None or state[1] == len(curves[trial]):
                running.remove(state)
    return best, used / sum(map(len, curves))


def early_stopping(seeds: int, trials: int, epochs: int = 27) -> Iterator[Figure]:
    shares: dict[str, list[float]] = {name: [] for name in RULES}
    losses: dict[str, list[float]] = {name: [] for name in RULES}
    noise: list[float] = []
    for seed in range(seeds):
        search = make_search(sweep(MLP_SPACE, algorithm="random", trials=trials, seed=seed))
        points = [search.ask(trial) or {} for trial in range(trials)]
        curves = [list(training(point, epochs)) for point in points]
        full = min(map(min, curves))
        winner = min(range(trials), key=lambda trial: min(curves[trial]))
        # The same training from other first weights: a smaller difference than this shows nothing.
        again = [min(training(points[winner], epochs, seed=other)) for other in range(1, 6)]
        noise.append(float(np.std([full, *again])))
        for name, rule in RULES.items():
            best, share = stopped(rule, curves)
            shares[name].append(share)
            losses[name].append(best - full)
    for name in RULES:
        third = 1 / 3 if name in ("asha", "hyperband") else None
        yield Figure(f"digits, {name}, epochs", median(shares[name]), "of the full sweep's", most=third)
        yield Figure(
            f"digits, {name}, best error above the full sweep's",
            median(losses[name]),
            "",
            most=2 * median(noise),
            note=f"two deviations of the same training from other weights; {trials} trials, {seeds} seeds",
        )


def asking() -> Figure:
    """TPE at 1,000 finished trials."""
    search = make_search(sweep(MLP_SPACE, algorithm="tpe", trials=2000, seed=1))
    known = make_search(sweep(MLP_SPACE, algorithm="random", trials=1000, seed=2))
    for trial in range(1000):
        point = known.ask(trial) or {}
        value = (math.log10(point["lr"]) + 1) ** 2 + point["momentum"]
        search.replay(trial, point)
        search.tell(Told(trial, point, "succeeded", value, {}))
    taken = []
    for trial in range(1000, 1021):
        start = time.process_time()
        search.ask(trial)
        taken.append(time.process_time() - start)
    return Figure("asking TPE at 1,000 finished trials", 1000 * median(taken), "ms of CPU", most=50)


def figures(
    seeds: int, trials: int, samplers: Sequence[str], problems: Sequence[str], stopping: int
) -> Iterator[Figure]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    yield asking()
    if stopping:
        yield from early_stopping(stopping, 81)
    for problem in problems:
        for sampler in samplers:
            yield from compared(problem, sampler, seeds, trials)


def run() -> list[Figure]:
    """A reduced form: minutes."""
    return list(figures(5, 50, ["random", "tpe", "cmaes"], ["Branin", "Hartmann-6"], 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = ["random", "tpe", "cmaes", *(["gp"] if find_spec("torch") else [])]
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--samplers", nargs="*", choices=["random", "tpe", "cmaes", "gp"], default=known)
    parser.add_argument("--problems", nargs="*", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--stopping", type=int, default=10, help="seeds of the early-stopping part; 0 leaves it out")
    args = parser.parse_args()
    for figure in figures(args.seeds, args.trials, args.samplers, args.problems, args.stopping):
        print(figure, flush=True)


if __name__ == "__main__":
    main()
