r"""Random projections, and what the Johnson-Lindenstrauss lemma makes of them.

An m x n matrix with independent entries of mean 0 and variance 1/n keeps squared
lengths up to :math:`1\pm\varepsilon`, exponentially surely in :math:`n\varepsilon^2`.
Tails and dimensions, projections, hashing by signs, a randomised SVD, and the entropy
of softmax over random codes; the page is `book/mathematics/johnson_lindenstrauss`.

Vectors are rows, as in (N, m); matrices are float64; angles are in radians.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, sparse, special

from kexue.mathematics.checks import whole

__all__ = [
    "LSHIndex",
    "SimHash",
    "collision_probability",
    "distortion",
    "entropy_dimension",
    "entropy_drop",
    "entropy_rate",
    "hmt_bound",
    "jl_min_dim",
    "norm_tail",
    "norm_tail_bound",
    "project",
    "projection_matrix",
    "randomized_svd",
    "range_finder",
    "right_projection",
    "softmax_codes_error",
    "srht",
]

Array = NDArray[np.float64]
Kind = Literal["gaussian", "rademacher", "sparse"]


def _within(name: str, value: ArrayLike, low: float, high: float) -> Array:
    """An array whose entries lie in (low, high]."""
    array = np.asarray(value, dtype=float)
    if not ((array > low) & (array <= high)).all():
        raise ValueError(f"{name} must lie in ({low:g}, {high:g}], got {value!r}")
    return array


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _rows(name: str, X: Any, columns: int | None = None) -> Any:
    """A two-dimensional float array, or the sparse array that came."""
    X = X if sparse.issparse(X) else np.asarray(X, dtype=float)
    if X.ndim != 2 or (columns is not None and X.shape[1] != columns):
        wanted = f"(N, {columns or 'm'})"
        raise ValueError(f"{name} must have shape {wanted}, got {X.shape}")
    return X


def _matrix(name: str, M: ArrayLike) -> Array:
    """The same for arguments that must be dense."""
    if sparse.issparse(M):
        raise ValueError(f"{name} must be dense, got a sparse {type(M).__name__}")
    return np.asarray(_rows(name, M))


def norm_tail(n: ArrayLike, eps: ArrayLike) -> Array:
    """Probability that a squared length misses 1 by `eps` or more.

    The vector has n independent entries from N(0, 1/n), so that n times its squared
    length is chi-square with n degrees of freedom.

    >>> float(norm_tail(100, 0.3))
    0.0334
    """
    n, eps = _within("n", n, 0, np.inf), _within("eps", eps, 0, np.inf)
    below = special.gammainc(n / 2, n / 2 * np.maximum(1 - eps, 0))
    return special.gammaincc(n / 2, n / 2 * (1 + eps)) + below


def norm_tail_bound(
    n: ArrayLike,
    eps: ArrayLike,
    kind: Literal["chernoff", "cubic", "article", "chebyshev"] = "article",
) -> Array:
    """Upper bounds of `norm_tail` for 0 < eps <= 1, from sharp to handy to useless.

    Parameters
    ----------
    n
        Dimension > 0.
    eps
        Deviation in (0, 1].
    kind
        `chernoff` adds up the two exponentials of `eq-jl-chernoff`; `cubic` is
        2 exp(-n (eps^2/4 - eps^3/6)) and `article` 2 exp(-n eps^2/8), both of
        `eq-jl-unit-norm`; `chebyshev` is 2 / (n eps^2).

    Raises
    ------
    ValueError
        `n` or `eps` out of range, or an unknown `kind`.

    Examples
    --------
    >>> float(norm_tail_bound(100, 0.3, "cubic"))
    0.3305
    """
    _choice("kind", kind, ("chernoff", "cubic", "article", "chebyshev"))
    n, eps = _within("n", n, 0, np.inf), _within("eps", eps, 0, 1)
    if kind == "chebyshev":
        return 2 / (n * eps**2)
    if kind == "article":
        return 2 * np.exp(-n * eps**2 / 8)
    if kind == "cubic":
        return 2 * np.exp(-n * (eps**2 / 4 - eps**3 / 6))
    upper = np.exp(n * (np.log1p(eps) - eps) / 2)
    with np.errstate(divide="ignore"):  # at eps = 1 the lower tail is empty
        return upper + np.exp(n * (np.log1p(-eps) + eps) / 2)


def jl_min_dim(
    N: int,
    eps: float,
    method: Literal["article", "existence", "sklearn", "exact"] = "article",
    delta: float | None = None,
) -> int:
    """Dimensions that keep all squared distances of N points within 1 ± eps.

    Parameters
    ----------
    N
        Number of points, at least 2.
    eps
        Relative error of the squared distances, in (0, 1].
    method
        `article`: 24 ln N / eps^2, success with probability 1 - 1/N (`eq-jl-lemma`);
        `existence`: 16 ln N / eps^2, success with probability 1/N;
        `sklearn`: 4 ln N / (eps^2/2 - eps^3/3), like `existence` from a sharper tail;
        `exact`: the union bound over pairs with the exact tail `norm_tail`.
    delta
        With `exact` only: admissible probability of failure in (0, 1], 1/N by default;
        1 asks for existence.

    Raises
    ------
    ValueError
        `N`, `eps` or `delta` out of range, `delta` with another method, or an unknown
        `method`.

    Examples
    --------
    >>> jl_min_dim(500, 0.3), jl_min_dim(500, 0.3, "exact")
    (1658, 808)
    """
    _choice("method", method, ("article", "existence", "sklearn", "exact"))
    N, eps = whole("N", N, 2), float(_within("eps", eps, 0, 1))
    if method != "exact":
        if delta is not None:
            raise ValueError(
                f"delta = {delta} needs method='exact', got method={method!r}"
            )
        rates = {"article": eps**2 / 24, "existence": eps**2 / 16}
        rates["sklearn"] = (eps**2 / 2 - eps**3 / 3) / 4
        return int(np.ceil(np.log(N) / rates[method]))
    delta = 1 / N if delta is None else float(_within("delta", delta, 0, 1))
    tail = delta / (N * (N - 1) / 2)
    low, high = 0, 1  # the tail is too large at low, small enough at high
    while norm_tail(high, eps) > tail:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if norm_tail(middle, eps) > tail else (low, middle)
    return high


def projection_matrix(
    m: int,
    n: int,
    rng: np.random.Generator,
    kind: Kind = "gaussian",
    density: float | None = None,
) -> Any:
    """A random m x n matrix with independent entries of mean 0 and variance 1/n.

    Parameters
    ----------
    m, n
        Dimension before and after.
    rng
        Where the numbers come from.
    kind
        `gaussian`; `rademacher`: random signs over the root of n; `sparse`: signs, of
        which a share `density` is kept and scaled up.
    density
        With `sparse` only: in (0, 1], by default 1/3.

    Returns
    -------
    (m, n) float64 array, for `sparse` a `scipy.sparse.csr_array`.

    Raises
    ------
    ValueError
        `m`, `n` or `density` out of range, `density` with another kind, or an unknown
        `kind`.
    """
    _choice("kind", kind, ("gaussian", "rademacher", "sparse"))
    m, n = whole("m", m), whole("n", n)
    if kind != "sparse" and density is not None:
        raise ValueError(f"density = {density} needs kind='sparse', got kind={kind!r}")
    if kind == "gaussian":
        return rng.normal(scale=n**-0.5, size=(m, n))
    if kind == "rademacher":
        return rng.choice([-(n**-0.5), n**-0.5], size=(m, n))
    density = 1 / 3 if density is None else float(_within("density", density, 0, 1))
    places = np.nonzero(rng.random((m, n)) < density)
    entry = (n * density) ** -0.5
    signs = rng.choice([-entry, entry], size=len(places[0]))
    return sparse.csr_array((signs, places), shape=(m, n))


def project(
    X: Any,
    n: int,
    rng: np.random.Generator,
    kind: Kind = "gaussian",
    density: float | None = None,
) -> Array:
    """Project the rows of `X`, dense or sparse of shape (N, m), to n dimensions.

    See `projection_matrix` for the other parameters.

    >>> project(np.eye(3), 4, np.random.default_rng(0), "rademacher").shape
    (3, 4)
    """
    X = _rows("X", X)
    Y = X @ projection_matrix(X.shape[1], n, rng, kind, density)
    return Y.toarray() if sparse.issparse(Y) else Y


def srht(X: Any, n: int, rng: np.random.Generator) -> Array:
    """Subsampled randomised Hadamard transform of the rows of `X`, `stmt-jl-srht`.

    Random signs, a Hadamard rotation, n coordinates without replacement, and a scale
    that keeps squared lengths in the mean. Without the signs a row of the Hadamard
    matrix would become one coordinate, which is drawn or missed.

    Parameters
    ----------
    X : (N, m)
        Dense or sparse; m is padded with zeros to a power of 2.
    n
        Number of coordinates kept, at most that power of 2.
    rng
        Draws the signs and the coordinates.

    Raises
    ------
    ValueError
        `X` is no matrix, or `n` is out of range.
    """
    X = _rows("X", X)
    count, m = X.shape
    power = int(m - 1).bit_length()
    left, right = 2 ** (power // 2), 2 ** (power - power // 2)
    if whole("n", n) > left * right:
        raise ValueError(f"n must be at most {left * right}, got {n}")
    signed = np.zeros((count, left * right))
    signs = rng.choice([-1.0, 1.0], size=m)
    signed[:, :m] = (X * signs).toarray() if sparse.issparse(X) else X * signs
    # a large Hadamard matrix is the Kronecker product of two small ones
    blocks = signed.reshape(count, left, right)
    rotated = linalg.hadamard(left) @ blocks @ linalg.hadamard(right)
    kept = rng.permutation(left * right)[:n]
    return rotated.reshape(count, -1)[:, kept] / np.sqrt(n)


def _squared_distances(name: str, X: Any) -> tuple[Array, Array]:
    gram = X @ X.T
    gram = gram.toarray() if sparse.issparse(gram) else gram
    norms, (i, j) = np.diag(gram), np.triu_indices(len(gram), 1)
    sums = norms[i] + norms[j]
    # the difference may come out slightly negative
    return np.maximum(sums - 2 * gram[i, j], 0), sums


def distortion(X: Any, Y: Any) -> Array:
    """Relative error of the squared distance, for each pair of rows.

    Parameters
    ----------
    X : (N, m)
        Points before, dense or sparse, no two alike.
    Y : (N, n)
        Points after.

    Returns
    -------
    (N (N - 1) / 2,) array: (squared distance in `Y`) / (that in `X`) - 1.

    Raises
    ------
    ValueError
        Different numbers of rows, fewer than 2, or two rows of `X` that coincide.

    Examples
    --------
    >>> distortion([[0, 0], [3, 4]], [[0], [4]])
    array([-0.36])
    """
    X, Y = _rows("X", X), _rows("Y", Y)
    if X.shape[0] != Y.shape[0] or X.shape[0] < 2:
        raise ValueError(
            "X and Y must have the same number of rows, at least 2, "
            f"got {X.shape[0]} and {Y.shape[0]}"
        )
    (before, sums), (after, _) = _squared_distances("X", X), _squared_distances("Y", Y)
    if (before <= 1e-12 * sums).any():
        raise ValueError("X has two rows that coincide: drop duplicates first")
    return after / before - 1


class SimHash:
    """Codes of signs of random projections: their Hamming distance is an angle.

    Two codes differ in each bit with probability theta / pi (`eq-jl-simhash`).

    Parameters
    ----------
    m
        Dimension of the vectors.
    bits
        Length of the codes, a multiple of 8.
    rng
        Draws the hyperplanes.

    Raises
    ------
    ValueError
        `m` or `bits` out of range.
    """

    def __init__(self, m: int, bits: int, rng: np.random.Generator) -> None:
        self.bits = whole("bits", bits, 8)
        if self.bits % 8:
            raise ValueError(f"bits must be a multiple of 8, got {bits}")
        self._planes = rng.normal(size=(whole("m", m), self.bits))

    def encode(self, X: Any) -> NDArray[np.uint8]:
        """Pack the signs of the rows of `X`, (N, m), into bytes, (N, bits / 8)."""
        X = _rows("X", X, len(self._planes))
        return np.packbits(X @ self._planes > 0, axis=1)

    def hamming(self, A: NDArray[np.uint8], B: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Number of bits in which codes differ, (N, bits/8), (M, bits/8) -> (N, M)."""
        for name, codes in (("A", A), ("B", B)):
            _rows(name, codes, self.bits // 8)
        counts = [np.bitwise_count(code ^ B).sum(axis=1, dtype=np.int64) for code in A]
        return np.array(counts).reshape(len(A), len(B))

    def angle(self, A: NDArray[np.uint8], B: NDArray[np.uint8]) -> Array:
        """Unbiased estimates of the angles between the vectors behind the codes.

        That is pi * hamming / bits. The arc cosine of the codes' own cosine is *not*
        the angle, however many bits there are: that cosine tends to 1 - 2 theta / pi
        (`eq-jl-sign-cosine`).
        """
        return np.pi * self.hamming(A, B) / self.bits


class LSHIndex:
    """Nearest directions by hash tables: `tables` keys of k signs for each vector.

    A vector is a candidate when one of its keys equals the query's, which has
    probability `collision_probability(theta, k, tables)`.

    Parameters
    ----------
    m
        Dimension of the vectors.
    k
        Signs a key, 1 to 62.
    tables
        Number of tables, each with hyperplanes of its own.
    rng
        Draws the hyperplanes.

    Raises
    ------
    ValueError
        `m`, `k` or `tables` out of range.
    """

    def __init__(self, m: int, k: int, tables: int, rng: np.random.Generator) -> None:
        self.k, self.tables = whole("k", k), whole("tables", tables)
        if self.k > 62:
            raise ValueError(f"k must be at most 62, got {k}")
        self._planes = rng.normal(size=(whole("m", m), self.tables * self.k))

    def keys(self, X: Any) -> NDArray[np.int64]:
        """Keys of the rows of `X`, (N, m) -> (N, tables)."""
        X = _rows("X", X, len(self._planes))
        signs = (X @ self._planes > 0).reshape(-1, self.tables, self.k)
        return signs @ (1 << np.arange(self.k, dtype=np.int64))

    def fit(self, X: ArrayLike) -> LSHIndex:
        """Store the rows of `X`, (N, m)."""
        keys = self.keys(X).T
        self._X = np.asarray(X, dtype=float)
        self._order = np.argsort(keys, axis=1, kind="stable")
        self._sorted = np.take_along_axis(keys, self._order, axis=1)
        return self

    def candidates(self, q: ArrayLike) -> NDArray[np.int64]:
        """Indices, in ascending order, of stored rows that share a key with `q`, (m,).

        Raises
        ------
        RuntimeError
            Nothing is stored: call `fit` first.
        ValueError
            `q` is of another shape.
        """
        if not hasattr(self, "_X"):
            raise RuntimeError("the index is empty: call fit first")
        found = [
            order[np.searchsorted(row, key) : np.searchsorted(row, key, side="right")]
            for key, row, order in zip(
                self.keys(np.asarray(q)[None])[0],
                self._sorted,
                self._order,
                strict=True,
            )
        ]
        return np.unique(np.concatenate(found))

    def query(self, q: ArrayLike, top: int = 1) -> NDArray[np.int64]:
        """The `top` candidates nearest in angle, nearest first; fewer if there are not
        as many candidates."""
        near = self.candidates(q)
        rows = self._X[near]
        cosines = rows @ np.asarray(q) / np.linalg.norm(rows, axis=1)
        return near[np.argsort(-cosines, kind="stable")[: whole("top", top)]]


def collision_probability(theta: ArrayLike, k: int = 1, tables: int = 1) -> Array:
    """Probability of a common key at angle `theta`, `eq-jl-amplify`.

    >>> float(collision_probability(np.pi / 2)), float(collision_probability(0, 8, 4))
    (0.5, 1.0)
    """
    theta = np.asarray(theta, dtype=float)
    if not ((theta >= 0) & (theta <= np.pi)).all():
        raise ValueError(f"theta must lie in [0, pi], got {theta!r}")
    same = (1 - theta / np.pi) ** whole("k", k)
    return 1 - (1 - same) ** whole("tables", tables)


def range_finder(
    M: ArrayLike, size: int, rng: np.random.Generator, power: int = 0
) -> Array:
    """Orthonormal columns that span nearly the range of `M`: QR of M times a Gaussian.

    Parameters
    ----------
    M : (m, n)
        A matrix.
    size
        Number of columns, at most min(m, n).
    rng
        Draws the Gaussian matrix.
    power
        Times that M M' is applied, with a QR after *each* half step: without them all
        columns turn to the leading singular vector and the rest drowns in rounding.

    Returns
    -------
    (m, size) array.

    Raises
    ------
    ValueError
        `M` is no matrix, or `size` or `power` is out of range.
    """
    M = _matrix("M", M)
    if whole("size", size) > min(M.shape):
        raise ValueError(f"size must be at most {min(M.shape)}, got {size}")
    Q = np.linalg.qr(M @ rng.normal(size=(M.shape[1], size)))[0]
    for _ in range(whole("power", power, 0)):
        Q = np.linalg.qr(M.T @ Q)[0]
        Q = np.linalg.qr(M @ Q)[0]
    return Q


def randomized_svd(
    M: ArrayLike, k: int, rng: np.random.Generator, oversample: int = 10, power: int = 2
) -> tuple[Array, Array, Array]:
    """The k leading singular triplets from a `range_finder` with k + `oversample`
    columns.

    Returns
    -------
    U : (m, k), s : (k,), Vt : (k, n), the singular values in descending order.

    Raises
    ------
    ValueError
        `M` is no matrix, or one of the numbers is out of range.

    Examples
    --------
    >>> randomized_svd(np.diag([3.0, 2, 1]), 2, np.random.default_rng(0), 1)[1]
    array([3., 2.])
    """
    M = _matrix("M", M)
    size = min(whole("k", k) + whole("oversample", oversample, 0), *M.shape)
    if k > min(M.shape):
        raise ValueError(f"k must be at most {min(M.shape)}, got {k}")
    Q = range_finder(M, size, rng, power)
    U, s, Vt = np.linalg.svd(Q.T @ M, full_matrices=False)
    return Q @ U[:, :k], s[:k], Vt[:k]


def right_projection(
    M: ArrayLike, k: int, rng: np.random.Generator, orthogonal: bool = True
) -> Array:
    """M Q Q' with a random n x k matrix Q that knows nothing of M: how *not* to factor.

    With entries N(0, 1/k), or orthonormalised; `eq-jl-svd-as-written` gives the error.
    Use `randomized_svd` instead.
    """
    M = _matrix("M", M)
    if orthogonal and k > M.shape[1]:
        raise ValueError(f"k must be at most {M.shape[1]}, got {k}")
    Q = projection_matrix(M.shape[1], k, rng)
    Q = np.linalg.qr(Q)[0] if orthogonal else Q
    return M @ Q @ Q.T


def hmt_bound(
    s: ArrayLike, k: int, p: int, norm: Literal["frobenius", "spectral"] = "frobenius"
) -> float:
    """Bound of the mean error of `range_finder` with size k + p, `eq-jl-range-finder`.

    Parameters
    ----------
    s
        Singular values of the matrix in descending order, more than k of them.
    k
        Target rank, at least 2.
    p
        Oversampling, at least 2.
    norm
        Of the error M - QQ'M.

    Raises
    ------
    ValueError
        `s` is not descending or too short, or `k`, `p` or `norm` is out of range.

    Examples
    --------
    >>> hmt_bound([5, 4, 2, 1], 2, 2)  # sqrt(1 + 2/1) times the optimum, sqrt(5)
    3.873
    """
    _choice("norm", norm, ("frobenius", "spectral"))
    s, k, p = np.asarray(s, dtype=float), whole("k", k, 2), whole("p", p, 2)
    if s.ndim != 1 or len(s) <= k or (np.diff(s) > 0).any():
        raise ValueError(f"s must hold more than {k} values in descending order")
    rest = float(np.linalg.norm(s[k:]))
    if norm == "frobenius":
        return float(np.sqrt(1 + k / (p - 1))) * rest
    return float((1 + np.sqrt(k / (p - 1))) * s[k] + np.e * np.sqrt(k + p) / p * rest)


def entropy_rate(lam: float = 1.0) -> float:
    """Entropy lost per dimension in the limit of many dimensions, `eq-jl-golden`.

    Softmax weights exp(lam <u, v>) over codes that are uniform on the sphere of radius
    sqrt(n); at lam = 1 it is half the logarithm of the golden ratio.

    >>> entropy_rate()
    0.240606
    """
    lam = float(_within("lam", lam, 0, np.inf))
    cosine = 2 * lam / (1 + np.sqrt(1 + 4 * lam**2))
    return float(-np.log1p(-(cosine**2)) / 2)


def entropy_drop(n: float, lam: float = 1.0) -> float:
    """Entropy lost in n dimensions: tends to n `entropy_rate(lam)`.

    With Z = E exp(lam <u, v>) it is lam (ln Z)' - ln Z in nats. Z is a Bessel function
    whose series has positive terms only, so that log-sum-exp finds it at every n.

    >>> entropy_drop(64) / 64
    0.2418
    """
    n = float(_within("n", n, 0, np.inf))
    half, x = n / 2, float(_within("lam", lam, 0, np.inf)) * n / 2
    # the terms x^2k / (k! (n/2)_k) are largest where k (k + n/2) = x^2
    peak = 2 * x**2 / (half + np.sqrt(half**2 + 4 * x**2))
    k = np.arange(int(peak + 12 * np.sqrt(peak + 1) + 40))
    terms = 2 * k * np.log(x) - special.gammaln(k + 1)
    terms -= special.gammaln(k + half) - special.gammaln(half)
    log_z = special.logsumexp(terms)
    return float(2 * np.sum(k * np.exp(terms - log_z)) - log_z)


def entropy_dimension(N: int, lam: float = 1.0, events: int = 2) -> float:
    """Dimension at which the drop has used up the entropy of N^events equal events.

    Parameters
    ----------
    N
        Number of codes, at least 2.
    lam
        Factor of the logits.
    events
        2 for all pairs, 1 for one row of an attention matrix.

    Returns
    -------
    The n that solves `entropy_drop(n, lam) = events * log(N)`, not rounded.

    Examples
    --------
    >>> entropy_dimension(512), entropy_dimension(512, events=1)
    (51.5, 25.6)
    """
    lam = float(_within("lam", lam, 0, np.inf))
    total = whole("events", events) * np.log(whole("N", N, 2))
    guess = total / entropy_rate(lam)
    return float(
        optimize.brentq(
            lambda n: entropy_drop(n, lam) - total, guess / 8, 2 * guess + 8
        )
    )


def softmax_codes_error(N: int, d: int, beta: float, rng: np.random.Generator) -> float:
    """Mean weight that softmax(beta X X') of N random unit codes puts off the diagonal.

    See `stmt-jl-softmax-rank`: an attention matrix of rank d before the softmax can be
    close to the identity after it.
    """
    beta = float(_within("beta", beta, 0, np.inf))
    X = rng.normal(size=(whole("N", N, 2), whole("d", d)))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    weights = np.exp(beta * (X @ X.T - 1))
    return float(1 - np.mean(np.diag(weights) / weights.sum(axis=1)))
