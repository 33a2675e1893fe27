"""Seeded randomness: bytes that depend on nothing but their key.

One rule: whoever draws names what is drawn (seed, kind of thing, identifiers), so that the same thing is drawn the same
way in every process, in any order and on any Python version. SHAKE-128 gives as many bytes as are asked for in one
call.
"""

import hashlib
from statistics import NormalDist

ALPHANUMERICS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS = tuple(first + second for first in ALPHANUMERICS for second in ALPHANUMERICS)
"""Two characters at a time: half the look-ups for an id of eight."""

_POISSON_EXACT_MEAN_MAX = 50.0
"""Up to here the inverse is summed term by term; beyond, the normal approximation is closer than anyone can see."""


def draw(length: int, *key: object) -> bytes:
    """Draws bytes for a key.

    Args:
        length: number of bytes, at least 1. A longer draw of the same key starts with the shorter one.
        key: what is drawn; its parts are told apart by their text.

    Returns:
        The bytes, the same for the same key for ever.
    """
    return hashlib.shake_128("\x1f".join(map(str, key)).encode()).digest(length)


def fraction(data: bytes) -> float:
    """Reads bytes as a number in [0, 1)."""
    return int.from_bytes(data, "big") / (1 << (8 * len(data)))


def poisson(mean: float, at: float) -> int:
    """The quantile of a Poisson distribution.

    Args:
        mean: expected count, at least 0.
        at: probability in [0, 1).

    Returns:
        The smallest count whose cumulative probability exceeds `at`.
    """
    if mean <= 0.0:
        return 0
    if mean > _POISSON_EXACT_MEAN_MAX:
        return max(0, round(NormalDist(mean, mean**0.5).inv_cdf(min(max(at, 1e-12), 1.0 - 1e-12))))
    probability = cumulative = 2.718281828459045 ** (-mean)
    count = 0
    # The sum stops growing at floating point precision long before this bound.
    while at >= cumulative and count < 10 * _POISSON_EXACT_MEAN_MAX:
        count += 1
        probability *= mean / count
        cumulative += probability
    return count
