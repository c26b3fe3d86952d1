"""Random numbers that are a pure function of (seed, trial, name).

Each parameter of each trial has a generator of its own: numpy's ``Generator(PCG64(SeedSequence(entropy)))``
where ``entropy`` is the 128-bit BLAKE2b digest of ``"seed/trial/attempt/name"`` read as a big-endian integer.
So a point needs no history (a resumed run draws what the first would have drawn), the order of the parameters
is of no matter, and a new parameter changes none of the others.  numpy promises the streams of its bit
generators and of ``SeedSequence`` (NEP 19); what the distributions make of them is pinned by a table in our
tests.
"""

from __future__ import annotations

from hashlib import blake2b

from numpy.random import PCG64, Generator, SeedSequence


def generator(seed: int, trial: int, name: str, attempt: int = 0) -> Generator:
    """The generator of a parameter in a trial; ``attempt`` counts points that were refused."""
    return Generator(PCG64(SeedSequence(_digest(seed, trial, name, attempt))))


def derived_seed(seed: int, trial: int, name: str, attempt: int = 0) -> int:
    """A seed of 32 bits for somebody else's generator, by the same rule."""
    return _digest(seed, trial, name, attempt) >> 96


def _digest(seed: int, trial: int, name: str, attempt: int) -> int:
    label = f"{seed}/{trial}/{attempt}/{name}".encode()
    return int.from_bytes(blake2b(label, digest_size=16).digest(), "big")
