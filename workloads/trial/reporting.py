"""`report`, from orchestrator where it runs the program, and a plain line of text where nothing does."""

try:
    from orchestrator import report
except ImportError as missing:
    if missing.name != "orchestrator":  # orchestrator is there and broken: that must not be hidden
        raise

    def report(*, step: int | None = None, **metrics: float) -> None:
        """Print the metrics, so that a program started by hand shows its progress too."""
        parts = ([] if step is None else [f"step={step}"]) + [f"{name}={value:.6g}" for name, value in metrics.items()]
        print(" ".join(parts), flush=True)


__all__ = ["report"]
