"""Searches of one's own: a function that gives the points, and a sampler that learns."""

import random


def diagonal(steps, spec):
    """A generator: every mapping that it yields is a point. It is called with search.options."""
    for step in range(steps):
        yield {"lr": 10 ** -(1 + step), "batch": 2 ** (4 + step)}


class HillClimber:
    """A sampler: asked for each point, told each result, in the same order again after a crash."""

    def __init__(self, seed, step):
        self.seed, self.step = seed, step
        self.best = None

    def ask(self, trial):
        # From the seed and the number alone, so that a resumed run asks the same.
        chance = random.Random(f"{self.seed}/{trial}")
        center = self.best[1] if self.best else 0.5
        return {"momentum": min(max(center + chance.uniform(-self.step, self.step), 0.0), 0.99)}

    def tell(self, told):
        if told.value is not None and (self.best is None or told.value < self.best[0]):
            self.best = told.value, told.params["momentum"]


def climber(seed, step=0.2):
    return HillClimber(seed, step)
