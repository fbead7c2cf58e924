"""Every random number of the book comes from here, so that one variable moves them all.

The environment variable `KEXUE_SEED` (a whole number, 0 by default) is added to every
seed. The claims must hold at any offset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["generator", "rng", "seed", "seeded"]


def seed(number: int = 0) -> int:
    """The seed `number + KEXUE_SEED`, for libraries that take a whole number
    (scikit-learn's `random_state`).

    Raises
    ------
    ValueError
        `KEXUE_SEED` is not a whole number, or the sum is negative.
    """
    offset = os.environ.get("KEXUE_SEED", "0")
    try:
        total = number + int(offset)
    except ValueError:
        raise ValueError(f"KEXUE_SEED must be a whole number, got {offset!r}") from None
    if total < 0:
        raise ValueError(f"seeds are not negative, got {number} + KEXUE_SEED = {total}")
    return total


def generator(number: int = 0) -> torch.Generator:
    """A torch generator on the CPU, seeded with `seed(number)`.

    >>> torch.rand(2, generator=generator(3)).shape
    torch.Size([2])
    """
    return torch.Generator().manual_seed(seed(number))


def rng(number: int = 0) -> np.random.Generator:
    """A NumPy generator, seeded with `seed(number)`.

    >>> rng(3).normal(size=2).shape
    (2,)
    """
    return np.random.default_rng(seed(number))


@contextmanager
def seeded(number: int = 0) -> Iterator[None]:
    """Within the block torch's global generator starts from `seed(number)`; afterwards
    it is as it was.

    Layers draw their first weights from the global generator and take no other:

    >>> with seeded(1):
    ...     layer = torch.nn.Linear(3, 2)
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed(number))
        yield
