r"""The angle between two random directions of n-dimensional space.

If one of two independent vectors is isotropic, the angle :math:`\theta` between them
has the density :math:`\propto\sin^{n-2}\theta` and its cosine :math:`\eta` the density
:math:`\propto(1-\eta^2)^{(n-3)/2}`, whatever the other vector is. Laws, tails, samplers
and estimators of the dimension; the page is `book/mathematics/random_angles`.

Everywhere `n` is a real number >= 2 (or an array of them), so that an *effective*
dimension need not be whole; angles are in radians.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from kexue.mathematics.checks import whole

if TYPE_CHECKING:
    import sympy as sp

__all__ = [
    "angle_cdf",
    "angle_kurtosis",
    "angle_logpdf",
    "angle_pdf",
    "angle_var",
    "angle_var_exact",
    "coherence",
    "coherence_quantile",
    "cos_cdf",
    "cos_logpdf",
    "cos_pdf",
    "cos_ppf",
    "dimension_mle",
    "effective_dimension",
    "sample_cos",
    "sample_sphere",
    "tail_bound",
    "tail_prob",
    "welch_bound",
]

Array = NDArray[np.float64]


def _dimension(n: ArrayLike) -> Array:
    dimension = np.asarray(n, dtype=float)
    if not (dimension >= 2).all():
        raise ValueError(f"n must be at least 2, got {n!r}")
    return dimension


def _in_unit_interval(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value, dtype=float)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{name} must lie in [0, 1], got {value!r}")
    return array


def _log_normaliser(n: Array) -> Array:
    return special.gammaln(n / 2) - special.gammaln((n - 1) / 2) - np.log(np.pi) / 2


def angle_logpdf(theta: ArrayLike, n: ArrayLike) -> Array:
    """Logarithm of the angle's density, `eq-angles-theta`.

    Parameters
    ----------
    theta
        Angles in radians; the density is 0 outside [0, pi].
    n
        Dimension >= 2; broadcast against `theta`.

    Returns
    -------
    Array of the broadcast shape, `-inf` where the density is 0, never NaN.

    Raises
    ------
    ValueError
        `n` below 2.

    Examples
    --------
    >>> float(np.exp(angle_logpdf(np.pi / 2, 3)))
    0.5
    """
    theta, n = np.asarray(theta, dtype=float), _dimension(n)
    # sin(pi) is not 0 in floating point
    sine = np.where((theta <= 0) | (theta >= np.pi), 0.0, np.sin(theta))
    logpdf = _log_normaliser(n) + special.xlogy(n - 2, sine)
    return np.where((theta < 0) | (theta > np.pi), -np.inf, logpdf)


def angle_pdf(theta: ArrayLike, n: ArrayLike) -> Array:
    """Density of the angle, `eq-angles-theta`; see `angle_logpdf`.

    >>> np.round(angle_pdf([0, 1, np.pi / 2], 2), 4)  # in the plane all are alike
    array([0.3183, 0.3183, 0.3183])
    """
    return np.exp(angle_logpdf(theta, n))


def angle_cdf(theta: ArrayLike, n: ArrayLike) -> Array:
    """Probability of an angle of at most `theta`, `eq-angles-area`.

    It is the share of the sphere's area within the cap of angular radius `theta`.

    >>> float(angle_cdf(np.pi / 3, 3))  # 60 degrees around the pole of a globe
    0.25
    """
    theta, n = np.asarray(theta, dtype=float), _dimension(n)
    half = (n - 1) / 2
    return special.betainc(half, half, np.sin(np.clip(theta, 0, np.pi) / 2) ** 2)


def cos_logpdf(eta: ArrayLike, n: ArrayLike) -> Array:
    """Logarithm of the cosine's density, `eq-angles-cos`.

    Parameters
    ----------
    eta
        Cosines; the density is 0 outside [-1, 1].
    n
        Dimension >= 2; broadcast against `eta`.

    Returns
    -------
    Array of the broadcast shape: `-inf` where the density is 0, `inf` at the ends for
    n < 3, never NaN.

    Raises
    ------
    ValueError
        `n` below 2.
    """
    eta, n = np.asarray(eta, dtype=float), _dimension(n)
    inside = np.abs(eta) <= 1
    power = special.xlog1py((n - 3) / 2, -(np.where(inside, eta, 0.0) ** 2))
    return np.where(inside, _log_normaliser(n) + power, -np.inf)


def cos_pdf(eta: ArrayLike, n: ArrayLike) -> Array:
    """Density of the cosine, `eq-angles-cos`; see `cos_logpdf`.

    >>> cos_pdf([-0.9, 0, 0.5], 3)  # Archimedes: uniform in three dimensions
    array([0.5, 0.5, 0.5])
    """
    return np.exp(cos_logpdf(eta, n))


def cos_cdf(eta: ArrayLike, n: ArrayLike) -> Array:
    """Probability of a cosine of at most `eta`; (1 + eta) / 2 follows a Beta law.

    >>> float(cos_cdf(0, 10))
    0.5
    """
    half = (_dimension(n) - 1) / 2
    return special.betainc(half, half, (1 + np.clip(eta, -1, 1)) / 2)


def cos_ppf(q: ArrayLike, n: ArrayLike) -> Array:
    """The cosine that is exceeded with probability 1 - q: the inverse of `cos_cdf`.

    Raises
    ------
    ValueError
        `q` outside [0, 1], or `n` below 2.

    Examples
    --------
    >>> float(cos_ppf(0.75, 3))
    0.5
    """
    q, half = _in_unit_interval("q", q), (_dimension(n) - 1) / 2
    return 2 * special.betaincinv(half, half, q) - 1


def angle_var(n: ArrayLike) -> Array:
    """Variance of the angle in square radians: half a trigamma, `eq-angles-variance`.

    >>> float(angle_var(3))  # pi^2 / 4 - 2
    0.467401
    """
    return special.polygamma(1, _dimension(n) / 2) / 2


def angle_kurtosis(n: ArrayLike) -> Array:
    """Excess kurtosis of the angle; about -2/n, a third of the cosine's."""
    half = _dimension(n) / 2
    return -special.polygamma(3, half) / (2 * special.polygamma(1, half) ** 2)


def angle_var_exact(n: int) -> sp.Expr:
    """The variance of the angle in closed form, by `eq-angles-recurrence`.

    Raises
    ------
    ValueError
        `n` is no whole number of at least 2.

    Examples
    --------
    >>> angle_var_exact(4)
    -1/2 + pi**2/12
    """
    import sympy as sp

    n = whole("n", n, 2)
    start = 2 + n % 2
    base = sp.pi**2 / 12 if start == 2 else sp.pi**2 / 4 - 2
    return base - sum(sp.Rational(2, m * m) for m in range(start, n, 2))


def tail_prob(eps: ArrayLike, n: ArrayLike) -> Array:
    """Probability that the modulus of the cosine is at least `eps`, `eq-angles-tail`.

    Raises
    ------
    ValueError
        `eps` outside [0, 1], or `n` below 2.

    Examples
    --------
    >>> float(tail_prob(0.2, 100))
    0.0449
    """
    eps, n = _in_unit_interval("eps", eps), _dimension(n)
    return special.betainc((n - 1) / 2, 0.5, 1 - eps**2)


def tail_bound(
    eps: ArrayLike,
    n: ArrayLike,
    kind: Literal["beta", "subgaussian", "gaussian-lemma"] = "beta",
) -> Array:
    """Upper bounds of `tail_prob`, from sharp to handy.

    Parameters
    ----------
    eps
        Modulus of the cosine, in [0, 1].
    n
        Dimension >= 2.
    kind
        `beta` is (1 - eps^2)^((n-1)/2), proved at `eq-angles-tail`; `subgaussian` is
        2 exp(-n eps^2 / 2), from `eq-angles-subgaussian`; `gaussian-lemma` is
        4 exp(-n eps^2 / 8), what the lemma for Gaussian vectors gives.

    Raises
    ------
    ValueError
        `eps` outside [0, 1], `n` below 2, or an unknown `kind`.
    """
    eps, n = _in_unit_interval("eps", eps), _dimension(n)
    if kind == "beta":
        return (1 - eps**2) ** ((n - 1) / 2)
    if kind == "subgaussian":
        return 2 * np.exp(-n * eps**2 / 2)
    if kind == "gaussian-lemma":
        return 4 * np.exp(-n * eps**2 / 8)
    raise ValueError(
        f"kind must be 'beta', 'subgaussian' or 'gaussian-lemma', got {kind!r}"
    )


def sample_cos(n: float, size: int, rng: np.random.Generator) -> Array:
    """Draw cosines without drawing vectors: Z / sqrt(Z^2 + chi^2 of n - 1 degrees).

    Two numbers a draw whatever the dimension, which may be a fraction.

    Raises
    ------
    ValueError
        `n` below 2.
    """
    _dimension(n)
    normal = rng.normal(size=size)
    return normal / np.sqrt(normal**2 + rng.chisquare(n - 1, size=size))


def sample_sphere(
    n: int,
    size: int,
    rng: np.random.Generator,
    method: Literal["normal", "angles"] = "normal",
) -> Array:
    """Draw uniform directions, as points of the unit sphere.

    Parameters
    ----------
    n
        Dimension, a whole number >= 2.
    size
        Number of directions.
    rng
        Where the numbers come from.
    method
        `normal` divides Gaussian vectors by their length; `angles` draws the spherical
        coordinates of `eq-angles-coordinates`, each from its own Beta law.

    Returns
    -------
    (size, n) array of unit vectors.

    Raises
    ------
    ValueError
        `n` is no whole number of at least 2, or an unknown `method`.
    """
    n = whole("n", n, 2)
    if method == "normal":
        x = rng.normal(size=(size, n))
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    if method != "angles":
        raise ValueError(f"method must be 'normal' or 'angles', got {method!r}")
    # phi_k has the law of the angle in n - k + 1 dimensions; the last turns full circle
    half = (n - np.arange(1, n - 1)) / 2
    cosines = 2 * rng.beta(half, half, size=(size, n - 2)) - 1
    last = rng.uniform(0, 2 * np.pi, size=(size, 1))
    cosines = np.hstack([cosines, np.cos(last), np.ones((size, 1))])
    sines = np.sqrt(1 - cosines[:, : n - 2] ** 2)
    products = np.cumprod(np.hstack([np.ones((size, 1)), sines, np.sin(last)]), axis=1)
    return cosines * products


def _unit_rows(X: ArrayLike) -> Array:
    X = np.asarray(X, dtype=float)
    if X.ndim != 2 or len(X) < 2:
        raise ValueError(f"X must have shape (N, n) with N >= 2, got {X.shape}")
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError("X has a row of zeros, which has no direction")
    return X / norms


def coherence(X: ArrayLike) -> float:
    """Largest modulus of the cosine among the pairs of rows of `X`, shape (N, n).

    Raises
    ------
    ValueError
        Fewer than 2 rows, or a row of zeros.

    Examples
    --------
    >>> coherence([[1, 0], [0, 1], [1, 1]])
    0.7071067811865475
    """
    rows = _unit_rows(X)
    gram = np.abs(rows @ rows.T)
    np.fill_diagonal(gram, 0)
    return float(gram.max())


def welch_bound(N: int, n: int) -> float:
    """No N unit vectors in n dimensions have a smaller coherence, `eq-angles-welch`.

    >>> welch_bound(4, 3)  # the tetrahedron reaches it
    0.3333333333333333
    """
    n = whole("n", n, 2)
    if N < 2:
        raise ValueError(f"N must be at least 2, got {N}")
    return float(np.sqrt(max(N - n, 0) / (n * (N - 1))))


def coherence_quantile(N: int, n: float, q: ArrayLike) -> Array:
    """Quantile of the coherence of N random directions, pairs taken as independent.

    Pairs *are* independent two by two (`stmt-angles-pairwise`), not all at once; for
    maxima the error is small (`stmt-angles-how-many`).

    Raises
    ------
    ValueError
        `N` or `n` below 2, or `q` outside [0, 1].
    """
    q, n = _in_unit_interval("q", q), float(_dimension(n))
    if N < 2:
        raise ValueError(f"N must be at least 2, got {N}")
    with np.errstate(divide="ignore"):
        tail = -np.expm1(np.log(q) / (N * (N - 1) / 2))
    return np.sqrt(1 - special.betaincinv((n - 1) / 2, 0.5, tail))


def effective_dimension(X: ArrayLike) -> float:
    """The dimension in which isotropic vectors have the rows' mean squared cosine.

    Parameters
    ----------
    X : (N, m)
        Vectors as rows. Centre them first if their mean is not the point of reference.

    Returns
    -------
    One over the mean of the squared cosine over all pairs of different rows, at a cost
    of N m^2: no pair is formed.

    Raises
    ------
    ValueError
        Fewer than 2 rows, or a row of zeros.
    """
    rows = _unit_rows(X)
    N = len(rows)
    total = np.sum((rows.T @ rows) ** 2)  # over all ordered pairs, each row with itself
    return float(N * (N - 1) / (total - N))


def dimension_mle(cos: ArrayLike) -> float:
    """Maximum-likelihood estimate of the dimension from independent cosines.

    Raises
    ------
    ValueError
        No cosines, or one that is not strictly between -1 and 1.
    """
    cos = np.asarray(cos, dtype=float)
    if cos.size == 0 or not (np.abs(cos) < 1).all():
        raise ValueError(
            "cos must hold at least one number, all strictly within (-1, 1)"
        )
    mean_log = np.log1p(-(cos**2)).mean()

    def score(n: float) -> float:
        return special.digamma(n / 2) - special.digamma((n - 1) / 2) + mean_log

    return float(optimize.brentq(score, 1 + 1e-9, 1e9))
