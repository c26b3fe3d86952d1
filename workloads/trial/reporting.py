"""`report`: a line for whoever reads the log, and the same numbers for orchestrator where it is there."""

try:
    from orchestrator import report as _to_orchestrator
except ModuleNotFoundError as missing:
    if missing.name != "orchestrator":  # orchestrator is there and broken: that must not be hidden
        raise
    _to_orchestrator = None


def report(*, step: int | None = None, **metrics: float) -> None:
    """Say how the training goes: the step (1 is the first; None where there are none) and any numbers by name."""
    parts = ([] if step is None else [f"step={step}"]) + [f"{name}={value:.6g}" for name, value in metrics.items()]
    print(" ".join(parts), flush=True)
    if _to_orchestrator is not None:
        _to_orchestrator(step=step, **metrics)
