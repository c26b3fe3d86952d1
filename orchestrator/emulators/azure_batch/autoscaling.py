"""Autoscaling of one pool: when its formula runs, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .autoscale.evaluate import EvaluationError, Inputs, InsufficientSamples, Result, run
from .autoscale.grammar import FormulaSyntaxError, FormulaTooLong, Statement, parse
from .clock import Timer
from .errors import BatchFault, invalid_property
from .protocol import Json
from .timefmt import HOUR, MINUTE, SECOND, Micros, duration, iso, parse_duration

if TYPE_CHECKING:
    from .pools import Pool

DEFAULT_INTERVAL = 15 * MINUTE
LEAST_INTERVAL = 5 * MINUTE
MOST_INTERVAL = 168 * HOUR
# Between two requests to enable autoscaling of one pool.
_ENABLE_PAUSE = 30 * SECOND


class AutoScaling:
    """A pool's formula and its runs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.enabled = False
        self.formula = ""
        self.interval: Micros = DEFAULT_INTERVAL
        self.last_run: Json | None = None
        self._statements: tuple[Statement, ...] = ()
        self._timer: Timer | None = None
        self._enabled_at: Micros | None = None

    @staticmethod
    def check(spec: Json) -> None:
        """Refuse a pool body whose autoscale settings are wrong."""
        if not spec.get("enableAutoScale"):
            for name in ("autoScaleFormula", "autoScaleEvaluationInterval"):
                if name in spec:
                    raise invalid_property(name, spec[name], "must not be given unless enableAutoScale is true")
            return
        if "autoScaleFormula" not in spec:
            raise BatchFault("MissingRequiredProperty", values={"PropertyName": "autoScaleFormula"})
        parse_formula(spec["autoScaleFormula"])
        read_interval(spec)

    def begin(self) -> None:
        """Take formula and interval from the pool's body, and run it for the first time."""
        self._set(self._pool.spec["autoScaleFormula"], read_interval(self._pool.spec))

    def enable(self, body: Json) -> None:
        """The operation of that name.

        Raises:
            BatchFault: too soon after the last, no formula, or a wrong one.
        """
        now = self._pool.account.clock.now()
        if self._enabled_at is not None and now - self._enabled_at < _ENABLE_PAUSE:
            raise BatchFault("TooManyEnableAutoScaleRequests", headers={"Retry-After": "30"})
        formula = body.get("autoScaleFormula", self.formula if self.enabled else None)
        if formula is None or (self.enabled and not body):
            raise BatchFault("MissingRequiredProperty", values={"PropertyName": "autoScaleFormula"})
        parse_formula(formula)
        interval = read_interval(body, self.interval if self.enabled else DEFAULT_INTERVAL)
        self._enabled_at = now
        self._set(formula, interval)

    def _set(self, formula: str, interval: Micros) -> None:
        self.enabled = True
        self.formula = formula
        self.interval = interval
        self._statements = parse_formula(formula)
        self._run()

    def disable(self) -> None:
        self.stop()
        self.enabled = False
        self.last_run = None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def evaluate(self, formula: str) -> Json:
        """What a formula would give now, as an AutoScaleRun."""
        return self._evaluate(parse_formula(formula))[1]

    def _run(self) -> None:
        self.stop()
        account = self._pool.account
        every = account.settings.autoscale_seconds
        self._timer = account.clock.after(self.interval / SECOND if every is None else every, self._run)
        result, self.last_run = self._evaluate(self._statements)
        if result is not None:
            self._apply(result)

    def _apply(self, result: Result) -> None:
        allocation = self._pool.allocation
        if allocation.state != "steady":
            return  # The next run sees to it.
        targets = (result.target_dedicated, result.target_low_priority)
        # As in the service: a target that stays the same starts no resize, even where the last one failed.
        if targets != (allocation.target_dedicated, allocation.target_low_priority):
            self._pool.touch()
            allocation.resize(*targets, result.option)

    def _evaluate(self, statements: tuple[Statement, ...]) -> tuple[Result | None, Json]:
        pool = self._pool
        now = pool.account.clock.now()
        pool.metrics.note(now)
        nodes = pool.nodes.values()
        dedicated = sum(node.dedicated for node in nodes)
        inputs = Inputs(
            now,
            pool.metrics,
            {
                "$CurrentDedicatedNodes": float(dedicated),
                "$CurrentLowPriorityNodes": float(len(nodes) - dedicated),
                "$TaskSlotsPerNode": float(pool.slots),
            },
            pool.allocation.target_dedicated,
            pool.allocation.target_low_priority,
        )
        try:
            result = run(statements, inputs)
        except EvaluationError as problem:
            short = isinstance(problem, InsufficientSamples)
            error = {
                "code": "InsufficientSampleData" if short else "AutoScalingFormulaEvaluationError",
                "message": str(problem),
                "values": [{"name": "Message", "value": str(problem)}],
            }
            return None, {"timestamp": iso(now), "error": error}
        return result, {"timestamp": iso(now), "results": result.text}

    def json(self) -> Json:
        found: Json = {"enableAutoScale": self.enabled}
        if self.enabled:
            found["autoScaleFormula"] = self.formula
            found["autoScaleEvaluationInterval"] = duration(self.interval)
            if self.last_run is not None:
                found["autoScaleRun"] = self.last_run
        return found


def parse_formula(text: str) -> tuple[Statement, ...]:
    """A formula's statements.

    Raises:
        BatchFault: AutoScalingFormulaTooLong or AutoScalingFormulaSyntaxError.
    """
    try:
        return parse(text)
    except FormulaTooLong as problem:
        raise BatchFault("AutoScalingFormulaTooLong", str(problem)) from problem
    except FormulaSyntaxError as problem:
        raise BatchFault("AutoScalingFormulaSyntaxError", str(problem)) from problem


def read_interval(body: Json, default: Micros = DEFAULT_INTERVAL) -> Micros:
    """`autoScaleEvaluationInterval`, from five minutes to a week.

    Raises:
        BatchFault: it is outside of these.
    """
    text = body.get("autoScaleEvaluationInterval")
    if text is None:
        return default
    interval = parse_duration(text)
    if not LEAST_INTERVAL <= interval <= MOST_INTERVAL:
        raise invalid_property("autoScaleEvaluationInterval", text, "must be from 5 minutes to 168 hours")
    return interval
