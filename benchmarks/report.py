"""What a benchmark gives back: figures with the bound that each has to keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; ``most`` is the bound that we claim, None where there is none."""

    name: str
    value: float
    unit: str
    most: float | None = None
    note: str = ""

    @property
    def kept(self) -> bool:
        return self.most is None or self.value <= self.most

    def __str__(self) -> str:
        bound = "" if self.most is None else f"  (at most {self.most:g}: {'kept' if self.kept else 'BROKEN'})"
        note = f"  {self.note}" if self.note else ""
        return f"{self.name}: {self.value:.3g} {self.unit}{bound}{note}"
