"""What counts of right and wrong answers come to."""

from collections.abc import Mapping


def metrics_of(prefix: str, counts: Mapping[tuple[float, float], int]) -> dict[str, float]:
    """Accuracy, and precision and recall of "failed" (1); 0 where there is nothing to divide by.

    `counts` says how often which pair of truth and answer was there.
    """
    hits, misses, alarms = (counts.get(pair, 0) for pair in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0)))
    precision, recall = hits / max(hits + alarms, 1), hits / max(hits + misses, 1)
    return {
        f"{prefix}_accuracy": (hits + counts.get((0.0, 0.0), 0)) / sum(counts.values()),
        f"{prefix}_precision": precision,
        f"{prefix}_recall": recall,
        f"{prefix}_f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    }
