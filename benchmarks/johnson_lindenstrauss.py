"""Speed of projections and of the randomised SVD against scikit-learn and LAPACK.

    python benchmarks/johnson_lindenstrauss.py

The methods are interleaved in one process.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from interleaved import compare
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.utils import extmath

from kexue.mathematics import johnson_lindenstrauss as jl

ROUNDS = 11


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 4096))
    print("1000 points from 4096 to 512 dimensions")
    rows = compare(
        {
            "scikit-learn, Gaussian": lambda: GaussianRandomProjection(
                512, random_state=0
            ).fit_transform(X),
            "ours, Gaussian": lambda: jl.project(X, 512, rng),
            "ours, Hadamard": lambda: jl.srht(X, 512, rng),
        },
        rounds=ROUNDS,
    )
    print("\n".join(rows))
    print("the same, a share of 1/64 of the entries")
    rows = compare(
        {
            "scikit-learn, sparse": lambda: SparseRandomProjection(
                512, density=1 / 64, random_state=0
            ).fit_transform(X),
            "ours, sparse": lambda: jl.project(X, 512, rng, "sparse", 1 / 64),
        },
        rounds=ROUNDS,
    )
    print("\n".join(rows))
    M = rng.normal(size=(2000, 200)) @ rng.normal(size=(200, 1000))
    print("rank 20 of 2000 x 1000")
    rows = compare(
        {
            "scikit-learn, randomised SVD": lambda: extmath.randomized_svd(
                M, 20, n_iter=2, random_state=0
            ),
            "ours, randomised SVD": lambda: jl.randomized_svd(M, 20, rng),
            "LAPACK, whole SVD": lambda: np.linalg.svd(M, full_matrices=False),
        },
        rounds=ROUNDS,
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
