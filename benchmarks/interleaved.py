"""What the benchmarks share: methods that take turns, and the table of their ratios.

A busy machine slows all methods of a round alike, so each is compared with the same
round's `peer`. Nothing is asserted: the last column says whether an aim was met.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def seconds(method: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    method()
    return time.perf_counter() - start


def compare(
    methods: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    before: Callable[[], object] = lambda: None,
    aims: Mapping[str, float] | None = None,
) -> list[str]:
    """Rows of a table: the median time of each method, and the median and extremes of
    its ratio to the first method; `before` is called before each of them, untimed."""

    def turn() -> dict[str, float]:
        times = {}
        for name, method in methods.items():
            before()
            times[name] = seconds(method)
        return times

    turn()  # to warm up
    runs = [turn() for _ in range(rounds)]
    peer, rows = next(iter(methods)), []
    for name in methods:
        ratios = sorted(run[name] / run[peer] for run in runs)
        ratio, aim = statistics.median(ratios), (aims or {}).get(name)
        verdict = "" if aim is None else f"<= {aim:g}: {'NO' if ratio > aim else 'yes'}"
        rows.append(
            f"{name:28} {1e3 * statistics.median(run[name] for run in runs):8.2f} ms "
            f"{ratio:6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})  {verdict}"
        )
    return rows
