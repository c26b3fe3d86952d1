"""Running a formula's statements: values, operators and functions; a tree walk, no `eval`."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from ..timefmt import DAY, HOUR, MINUTE, SECOND, Micros, iso, parse_http_date, parse_iso, to_datetime
from .grammar import (
    Binary,
    Choice,
    Expression,
    FunctionCall,
    Member,
    Number,
    Statement,
    Text,
    Unary,
    Variable,
)
from .metrics import Metrics, Sample

DEALLOCATION_OPTIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")

_TARGETS = {
    "$TargetDedicatedNodes": "$TargetDedicatedNodes",
    "$TargetDedicated": "$TargetDedicatedNodes",
    "$TargetLowPriorityNodes": "$TargetLowPriorityNodes",
    "$TargetLowPriority": "$TargetLowPriorityNodes",
}
_OPTION = "$NodeDeallocationOption"

# Read-only; each is an object to take samples from.
SAMPLED = frozenset(
    [
        "$CPUPercent",
        "$WallClockSeconds",
        "$MemoryBytes",
        "$DiskBytes",
        "$DiskReadBytes",
        "$DiskWriteBytes",
        "$DiskReadOps",
        "$DiskWriteOps",
        "$NetworkInBytes",
        "$NetworkOutBytes",
        "$SampleNodeCount",
        "$ActiveTasks",
        "$RunningTasks",
        "$PendingTasks",
        "$SucceededTasks",
        "$FailedTasks",
        "$CurrentDedicatedNodes",
        "$CurrentLowPriorityNodes",
        "$PreemptedNodeCount",
        "$UsableNodeCount",
    ]
)
# Those of them that also have a value of their own.
PLAIN = frozenset({"$CurrentDedicatedNodes", "$CurrentLowPriorityNodes", "$TaskSlotsPerNode"})


@dataclass(frozen=True, slots=True)
class Timestamp:
    micros: Micros


@dataclass(frozen=True, slots=True)
class Interval:
    micros: float


@dataclass(frozen=True, slots=True)
class Metric:
    name: str


Vector = tuple[float, ...]
Value = float | str | Vector | Timestamp | Interval | Metric

INTERVALS = {
    "TimeInterval_Zero": 0.0,
    "TimeInterval_100ns": 0.1,
    "TimeInterval_Microsecond": 1.0,
    "TimeInterval_Millisecond": 1000.0,
    "TimeInterval_Second": float(SECOND),
    "TimeInterval_Minute": float(MINUTE),
    "TimeInterval_Hour": float(HOUR),
    "TimeInterval_Day": float(DAY),
    "TimeInterval_Week": float(7 * DAY),
    "TimeInterval_Year": float(365 * DAY),
}


class EvaluationError(Exception):
    """The formula cannot be evaluated now; the pool stays as it is."""


class InsufficientSamples(EvaluationError):
    """Too few samples for a `GetSample`."""


class _Stop(Exception):
    """`stop()` was called."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a formula sees.

    Args:
        now: the time.
        metrics: the samples.
        plain: values of the variables in `PLAIN`.
        target_dedicated, target_low_priority: the pool's present targets.
        random: source of `rand()`.
    """

    now: Micros
    metrics: Metrics
    plain: dict[str, float]
    target_dedicated: int
    target_low_priority: int
    random: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True, slots=True)
class Result:
    """What a formula decided.

    Args:
        option: what becomes of the tasks on removed nodes.
        text: every variable with its value, as in the service's `results`.
    """

    target_dedicated: int
    target_low_priority: int
    option: str
    text: str


def run(statements: tuple[Statement, ...], inputs: Inputs) -> Result:
    """Evaluate a formula.

    Raises:
        EvaluationError: a type does not fit, a variable is unknown, samples are missing.
    """
    try:
        return _Evaluation(inputs).run(statements)
    except RecursionError as problem:
        raise EvaluationError("an expression has too many parts") from problem


class _Evaluation:
    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._variables: dict[str, Value] = {
            "$TargetDedicatedNodes": float(inputs.target_dedicated),
            "$TargetLowPriorityNodes": float(inputs.target_low_priority),
            _OPTION: "requeue",
        }
        self._aliased: dict[str, Value] = {}
        self._named: set[str] = set()

    def run(self, statements: tuple[Statement, ...]) -> Result:
        try:
            for statement in statements:
                self._execute(statement)
        except _Stop:
            pass
        for name, value in self._aliased.items():
            # The full name wins over its alias where both are set.
            if name not in self._named:
                self._variables[name] = value
        option = self._variables[_OPTION]
        if option not in DEALLOCATION_OPTIONS:
            raise EvaluationError(f"{_OPTION} is {_show(option)}, not one of {', '.join(DEALLOCATION_OPTIONS)}")
        return Result(
            self._target("$TargetDedicatedNodes"),
            self._target("$TargetLowPriorityNodes"),
            str(option),
            ";".join(f"{name}={_show(value)}" for name, value in self._variables.items()),
        )

    def _target(self, name: str) -> int:
        value = self._variables[name]
        if not isinstance(value, float) or not math.isfinite(value):
            raise EvaluationError(f"{name} is {_show(value)}, not a number of nodes")
        if value < 0:
            raise EvaluationError(f"{name} is {_show(value)}; a number of nodes cannot be negative")
        self._variables[name] = float(int(value))
        return int(value)

    def _execute(self, statement: Statement) -> None:
        value = self._value(statement.value)
        name = statement.target
        if name is None:
            return
        if name in SAMPLED or name in PLAIN:
            raise EvaluationError(f"line {statement.line}: {name} is read-only")
        if name in INTERVALS or name in DEALLOCATION_OPTIONS:
            raise EvaluationError(f"line {statement.line}: {name} is a constant")
        if isinstance(value, tuple) and len(value) == 1 and name in _TARGETS:
            value = value[0]
        full = _TARGETS.get(name)
        if full is None:
            self._variables[name] = value
        elif full == name:
            self._named.add(name)
            self._variables[name] = value
        else:
            self._aliased[full] = value

    def _value(self, expression: Expression) -> Value:
        if isinstance(expression, Number):
            return expression.value
        if isinstance(expression, Text):
            return expression.value
        if isinstance(expression, Variable):
            return self._variable(expression.name)
        if isinstance(expression, Unary):
            return self._unary(expression)
        if isinstance(expression, Choice):
            chosen = expression.then if self._truth(expression.condition) else expression.otherwise
            return self._value(chosen)
        if isinstance(expression, Binary):
            return self._binary(expression)
        if isinstance(expression, FunctionCall):
            return self._function(expression)
        return self._member(expression)

    def _variable(self, name: str) -> Value:
        alias = _TARGETS.get(name)
        if alias is not None and name != alias:
            return self._aliased.get(alias, self._variables[alias])
        if name in self._variables:
            return self._variables[name]
        if name in self._inputs.plain:
            return self._inputs.plain[name]
        if name in SAMPLED:
            return Metric(name)
        if name in INTERVALS:
            return Interval(INTERVALS[name])
        if name in DEALLOCATION_OPTIONS:
            return name
        raise EvaluationError(f"there is no variable {name}")

    def _truth(self, expression: Expression) -> bool:
        return _number(self._value(expression), "a condition") != 0

    def _unary(self, expression: Unary) -> Value:
        value = self._value(expression.operand)
        if expression.operator == "!":
            return float(_number(value, "the operand of !") == 0)
        if isinstance(value, Interval):
            return Interval(-value.micros)
        if isinstance(value, tuple):
            return tuple(-item for item in value)
        return -_number(value, "the operand of -")

    def _binary(self, expression: Binary) -> Value:
        operator = expression.operator
        if operator == "&&":
            return float(self._truth(expression.left) and self._truth(expression.right))
        if operator == "||":
            return float(self._truth(expression.left) or self._truth(expression.right))
        left, right = self._value(expression.left), self._value(expression.right)
        if operator in _COMPARISONS:
            return _compare(operator, left, right)
        return _calculate(operator, left, right)

    def _function(self, call: FunctionCall) -> Value:
        if call.name == "stop":
            raise _Stop
        arguments = [self._value(argument) for argument in call.arguments]
        if call.name == "time":
            return self._time(arguments)
        if call.name == "rand":
            return self._inputs.random.random()
        if call.name in _ON_LISTS:
            return _on_list(call.name, arguments)
        if call.name in _ON_EACH:
            return _on_each(call.name, arguments)
        if call.name == "vec":
            return _flat(arguments, "vec")
        if call.name == "val":
            return _element(arguments)
        if call.name == "percentile":
            return _percentile(arguments)
        raise EvaluationError(f"there is no function {call.name}")

    def _time(self, arguments: list[Value]) -> Value:
        if not arguments or arguments == [""]:
            return Timestamp(self._inputs.now)
        text = arguments[0]
        if len(arguments) != 1 or not isinstance(text, str):
            raise EvaluationError("time() takes nothing, or one string")
        for read in (parse_iso, parse_http_date):
            try:
                return Timestamp(read(text))
            except (ValueError, TypeError):
                continue
        raise EvaluationError(f"{text!r} is neither a W3C-DTF nor an RFC 1123 time")

    def _member(self, member: Member) -> Value:
        # A variable with a plain value is also an object with samples: `$CurrentDedicatedNodes.GetSample(1)`.
        if isinstance(member.owner, Variable) and member.owner.name in SAMPLED:
            owner: Value = Metric(member.owner.name)
        else:
            owner = self._value(member.owner)
        if isinstance(owner, Timestamp) and member.arguments is None:
            return _part(owner, member.name)
        if isinstance(owner, Metric) and member.arguments is not None:
            arguments = [self._value(argument) for argument in member.arguments]
            return self._method(owner.name, member.name, arguments)
        raise EvaluationError(f"{_show(owner)} has no {member.name}")

    def _method(self, metric: str, name: str, arguments: list[Value]) -> Value:
        metrics = self._inputs.metrics
        if name == "GetSample":
            return tuple(float(sample.values[metric]) for sample in self._samples(metric, arguments))
        if name == "GetSamplePercent":
            start, end, rest = self._window(arguments)
            if rest:
                raise EvaluationError("GetSamplePercent takes a start and perhaps an end")
            return 100.0 * min(1.0, len(metrics.between(start, end)) / metrics.possible(start, end))
        if arguments:
            raise EvaluationError(f"{name} takes no arguments")
        if name == "GetSamplePeriod":
            return Interval(float(metrics.period))
        if name == "Count":
            return float(len(metrics.samples))
        if name == "HistoryBeginTime":
            return Timestamp(metrics.samples[0].time if metrics.samples else self._inputs.now)
        raise EvaluationError(f"{metric} has no method {name}")

    def _samples(self, metric: str, arguments: list[Value]) -> list[Sample]:
        metrics = self._inputs.metrics
        if len(arguments) == 1 and isinstance(arguments[0], float):
            count = int(arguments[0])
            if count < 1:
                raise EvaluationError("GetSample takes a positive number of samples")
            found = list(metrics.samples)[-count:]
            wanted_percent, possible = 0.0, count
        else:
            start, end, rest = self._window(arguments)
            found = metrics.between(start, end)
            wanted_percent = _number(rest[0], "the sample percentage") if rest else 0.0
            possible = metrics.possible(start, end)
        if not found or 100.0 * len(found) / possible < wanted_percent:
            raise InsufficientSamples(f"{metric} has {len(found)} of {possible} samples for this time")
        return found

    def _window(self, arguments: list[Value]) -> tuple[Micros, Micros, list[Value]]:
        """Start and end in order, whatever way round they were given, and the arguments after them."""
        if not arguments or len(arguments) > 3:
            raise EvaluationError("expected a start, perhaps an end, and perhaps a percentage")
        first = self._moment(arguments[0])
        second, rest = self._inputs.now, arguments[1:]
        if rest and isinstance(rest[0], Timestamp | Interval):
            second, rest = self._moment(rest[0]), rest[1:]
        if len(rest) > 1:
            raise EvaluationError("expected a start, perhaps an end, and perhaps a percentage")
        return min(first, second), max(first, second), rest

    def _moment(self, value: Value) -> Micros:
        if isinstance(value, Timestamp):
            return value.micros
        if isinstance(value, Interval):
            return self._inputs.now - int(value.micros)
        raise EvaluationError(f"{_show(value)} is neither a time nor an interval")


def _number(value: Value, what: str) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, tuple) and len(value) == 1:
        return value[0]
    if isinstance(value, Metric):
        raise EvaluationError(f"{what} is the metric {value.name}; take samples of it with GetSample")
    raise EvaluationError(f"{what} is {_show(value)}, not a number")


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def _compare(operator: str, left: Value, right: Value) -> float:
    test = _COMPARISONS[operator]
    if isinstance(left, str) and isinstance(right, str):
        order = (left > right) - (left < right)
        return float(test(order, 0))
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        return float(test(left.micros, right.micros))
    if isinstance(left, Interval) and isinstance(right, Interval):
        return float(test(left.micros, right.micros))
    if isinstance(left, Metric) or isinstance(right, Metric) or type(left) is type(right) or _both(left, right):
        return float(test(_number(left, f"the left of {operator}"), _number(right, f"the right of {operator}")))
    raise EvaluationError(f"{_show(left)} and {_show(right)} cannot be compared")


def _both(left: Value, right: Value) -> bool:
    return isinstance(left, float | tuple) and isinstance(right, float | tuple)


def _calculate(operator: str, left: Value, right: Value) -> Value:
    timed = _calculate_time(operator, left, right)
    if timed is not None:
        return timed
    calculate = _ARITHMETIC[operator]
    try:
        if isinstance(left, tuple) and isinstance(right, tuple):
            if len(left) != len(right):
                raise EvaluationError(f"vectors of lengths {len(left)} and {len(right)} under {operator}")
            return tuple(calculate(a, b) for a, b in zip(left, right, strict=True))
        if isinstance(left, tuple):
            number = _number(right, f"the right of {operator}")
            return tuple(calculate(item, number) for item in left)
        if isinstance(right, tuple):
            number = _number(left, f"the left of {operator}")
            return tuple(calculate(number, item) for item in right)
        return calculate(_number(left, f"the left of {operator}"), _number(right, f"the right of {operator}"))
    except ZeroDivisionError as problem:
        raise EvaluationError("division by zero") from problem


def _calculate_time(operator: str, left: Value, right: Value) -> Value | None:
    if isinstance(left, Interval) and isinstance(right, Interval) and operator in "+-":
        return Interval(_ARITHMETIC[operator](left.micros, right.micros))
    if isinstance(left, Interval) and isinstance(right, float) and operator in "*/":
        if operator == "/" and right == 0:
            raise EvaluationError("division by zero")
        return Interval(_ARITHMETIC[operator](left.micros, right))
    if isinstance(left, float) and isinstance(right, Interval) and operator == "*":
        return Interval(left * right.micros)
    if isinstance(left, Timestamp) and isinstance(right, Timestamp) and operator == "-":
        return Interval(float(left.micros - right.micros))
    if isinstance(left, Timestamp) and isinstance(right, Interval) and operator in "+-":
        return Timestamp(int(_ARITHMETIC[operator](left.micros, right.micros)))
    if isinstance(left, Interval) and isinstance(right, Timestamp) and operator == "+":
        return Timestamp(int(left.micros + right.micros))
    return None


def _flat(arguments: list[Value], name: str) -> Vector:
    """The service's doubleVecList: numbers and vectors in any mixture, as one vector."""
    found: list[float] = []
    for argument in arguments:
        if isinstance(argument, tuple):
            found.extend(argument)
        else:
            found.append(_number(argument, f"an argument of {name}"))
    return tuple(found)


_ON_LISTS: dict[str, Callable[[Vector], float]] = {
    "avg": lambda v: sum(v) / len(v),
    "len": lambda v: float(len(v)),
    "max": max,
    "min": min,
    "norm": lambda v: math.sqrt(sum(item * item for item in v)),
    "range": lambda v: max(v) - min(v),
    "std": lambda v: statistics.stdev(v) if len(v) > 1 else 0.0,
    "sum": lambda v: float(sum(v)),
}
_EMPTY_ALLOWED = frozenset({"len", "sum", "norm"})

_ON_EACH: dict[str, Callable[[float], float]] = {
    "ceil": lambda x: float(math.ceil(x)),
    "floor": lambda x: float(math.floor(x)),
    "lg": math.log2,
    "ln": math.log,
    "log": math.log10,
    # Half away from zero, where Python's own rounds to even.
    "round": lambda x: math.copysign(math.floor(abs(x) + 0.5), x),
}


def _on_list(name: str, arguments: list[Value]) -> float:
    vector = _flat(arguments, name)
    if not vector and name not in _EMPTY_ALLOWED:
        raise EvaluationError(f"{name} of no values")
    return _ON_LISTS[name](vector)


def _on_each(name: str, arguments: list[Value]) -> Value:
    try:
        if len(arguments) == 1 and isinstance(arguments[0], float):
            return _ON_EACH[name](arguments[0])
        return tuple(_ON_EACH[name](item) for item in _flat(arguments, name))
    except ValueError as problem:
        raise EvaluationError(f"{name} of a number that is not positive") from problem


def _element(arguments: list[Value]) -> float:
    if len(arguments) != 2 or not isinstance(arguments[0], tuple):
        raise EvaluationError("val takes a vector and an index")
    index = int(_number(arguments[1], "the index of val"))
    if not 0 <= index < len(arguments[0]):
        raise EvaluationError(f"val: there is no element {index} in {len(arguments[0])}")
    return arguments[0][index]


def _percentile(arguments: list[Value]) -> float:
    if len(arguments) != 2 or not isinstance(arguments[0], tuple) or not arguments[0]:
        raise EvaluationError("percentile takes a vector with values, and a percentage")
    percent = _number(arguments[1], "the percentage of percentile")
    if not 0 <= percent <= 100:
        raise EvaluationError("percentile: the percentage must be between 0 and 100")
    ordered = sorted(arguments[0])
    return ordered[min(len(ordered) - 1, max(0, math.ceil(percent / 100 * len(ordered)) - 1))]


def _part(timestamp: Timestamp, name: str) -> float:
    moment: datetime = to_datetime(timestamp.micros)
    parts = {
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        # Monday is 1; the reference gives no number for Sunday, .NET's is 0.
        "weekday": moment.isoweekday() % 7,
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
    }
    if name not in parts:
        raise EvaluationError(f"a time has no {name}")
    return float(parts[name])


def _show(value: Value) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, tuple):
        return "[" + ",".join(_show(item) for item in value) + "]"
    if isinstance(value, Timestamp):
        return iso(value.micros)
    if isinstance(value, Interval):
        return f"{value.micros / SECOND:g}s"
    if isinstance(value, Metric):
        return value.name
    return value
