"""Speed of projections and of the randomised SVD against scikit-learn and LAPACK.

    python benchmarks/johnson_lindenstrauss.py

One process; the methods take turns, so that a busy machine slows all of them alike, and
each turn is compared with the same turn's scikit-learn. Nothing is asserted.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.utils import extmath

from kexue.mathematics import johnson_lindenstrauss as jl

ROUNDS = 11


def seconds(method: Callable[[], object]) -> float:
    start = time.perf_counter()
    method()
    return time.perf_counter() - start


def compare(title: str, methods: dict[str, Callable[[], object]]) -> None:
    """Print medians, and ratios to the first method of the same round."""
    for method in methods.values():
        method()
    runs = [
        {name: seconds(method) for name, method in methods.items()}
        for _ in range(ROUNDS)
    ]
    print(title)
    peer = next(iter(methods))
    for name in methods:
        ratios = sorted(run[name] / run[peer] for run in runs)
        print(
            f"  {name:28} {1e3 * statistics.median(run[name] for run in runs):8.1f} ms"
            f"  {statistics.median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 4096))
    compare(
        "1000 points from 4096 to 512 dimensions",
        {
            "scikit-learn, Gaussian": lambda: GaussianRandomProjection(
                512, random_state=0
            ).fit_transform(X),
            "ours, Gaussian": lambda: jl.project(X, 512, rng),
            "ours, Hadamard": lambda: jl.srht(X, 512, rng),
        },
    )
    compare(
        "the same, a share of 1/64 of the entries",
        {
            "scikit-learn, sparse": lambda: SparseRandomProjection(
                512, density=1 / 64, random_state=0
            ).fit_transform(X),
            "ours, sparse": lambda: jl.project(X, 512, rng, "sparse", 1 / 64),
        },
    )
    M = rng.normal(size=(2000, 200)) @ rng.normal(size=(200, 1000))
    compare(
        "rank 20 of 2000 x 1000",
        {
            "scikit-learn, randomised SVD": lambda: extmath.randomized_svd(
                M, 20, n_iter=2, random_state=0
            ),
            "ours, randomised SVD": lambda: jl.randomized_svd(M, 20, rng),
            "LAPACK, whole SVD": lambda: np.linalg.svd(M, full_matrices=False),
        },
    )


if __name__ == "__main__":
    main()
