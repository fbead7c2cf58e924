"""Refusals that the articles of this part share: what came, what was expected."""

from __future__ import annotations

__all__ = ["whole"]


def whole(name: str, value: float, least: int = 1) -> int:
    """`value` as an int, when it is a whole number of at least `least`.

    Raises
    ------
    ValueError
        It has a fraction, is not finite, or is too small.

    Examples
    --------
    >>> whole("n", 3.0)
    3
    """
    if not value % 1 == 0 or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, got {value!r}"
        )
    return int(value)
