"""How many cores a machine size has, for quotas and usage."""

from __future__ import annotations

import re

from .errors import invalid_property

_SIZE = re.compile(r"(?:standard|basic)_([a-z]+)(\d+)(?:-(\d+))?[a-z]*(?:_[a-z0-9_]+)?", re.IGNORECASE)

# Older families number their sizes instead of counting cores: family, number -> cores.
_NUMBERED = {
    "d": {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 11: 2, 12: 4, 13: 8, 14: 16, 15: 20},
    "ds": {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 11: 2, 12: 4, 13: 8, 14: 16, 15: 20},
    "a": {0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 2, 6: 4, 7: 8, 8: 8, 9: 16, 10: 8, 11: 16},
    "g": {1: 2, 2: 4, 3: 8, 4: 16, 5: 32},
    "gs": {1: 2, 2: 4, 3: 8, 4: 16, 5: 32},
}


def cores(vm_size: str) -> int:
    """The virtual cores of `Standard_NC6s_v3` and the like.

    Raises:
        BatchFault: it is no machine size.
    """
    found = _SIZE.fullmatch(vm_size)
    if not found:
        raise invalid_property("vmSize", vm_size, "is no machine size, such as Standard_D2s_v3")
    family, number = found[1].lower(), int(found[2])
    if re.fullmatch(r"standard_(d|ds)\d+(_v2)?", vm_size.lower()) or re.fullmatch(
        r"(standard|basic)_(a|g|gs)\d+", vm_size.lower()
    ):
        return _NUMBERED[family].get(number, number)
    return max(1, number)
