r"""Determinants of matrix exponentials, and traces that stand for them.

The identity :math:`\det e^A = e^{\operatorname{tr}A}` turns the determinant of an
exponential into a sum of n numbers. Here are its two sides, its expansion around the
identity matrix, estimators that need matrix-vector products only, and the flows that
live on it; the page is `book/mathematics/det_exp`.

Matrices are floating-point or complex tensors, square in their last two axes, under any
leading batch shape; another type is a `TypeError`, another shape a `ValueError`. Dtype
and device are kept, and everything is differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from scipy import special
from torch import Tensor, nn

__all__ = [
    "ExpLinear",
    "det_perturbation",
    "divergence",
    "elementary_symmetric",
    "expm_2x2",
    "expm_series",
    "flow_logdet",
    "hutchinson_trace",
    "hutchinson_variance",
    "liouville",
    "logdet_exp",
    "logdet_roulette",
    "logdet_series",
    "logdet_series_bound",
    "logm_series",
    "probes",
]

Distribution = Literal["rademacher", "gaussian", "sphere"]


def _square(A: Tensor, name: str = "A") -> Tensor:
    if not isinstance(A, Tensor) or not (A.is_floating_point() or A.is_complex()):
        found = A.dtype if isinstance(A, Tensor) else type(A).__name__
        raise TypeError(
            f"{name} must be a floating-point or complex tensor, got {found}"
        )
    if A.ndim < 2 or A.shape[-1] != A.shape[-2] or not A.shape[-1]:
        raise ValueError(f"{name} must have shape (..., n, n), got {tuple(A.shape)}")
    return A


def _at_least(least: int, **counts: int) -> None:
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}")


def _unknown(dist: str) -> ValueError:
    known = "'rademacher', 'gaussian' or 'sphere'"
    return ValueError(f"dist must be {known}, got {dist!r}")


def _same_shape(name: str, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    value = f(x)
    if value.shape != x.shape:
        raise ValueError(
            f"{name} must keep the shape {tuple(x.shape)}, got {tuple(value.shape)}"
        )
    return value


def _eye_like(A: Tensor) -> Tensor:
    return torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)


def _trace(A: Tensor) -> Tensor:
    return A.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


def logdet_exp(A: Tensor) -> Tensor:
    """Logarithm of the determinant of exp(A): the trace of A, `eq-det-exp-main`.

    Parameters
    ----------
    A : (..., n, n)
        Real or complex.

    Returns
    -------
    (...)
        For complex matrices the imaginary part is *a* phase of the determinant, not
        reduced to (-pi, pi].

    Examples
    --------
    >>> A = torch.tensor([[1.0, 5.0], [-7.0, 2.0]])
    >>> logdet_exp(A), torch.logdet(torch.linalg.matrix_exp(A))
    (tensor(3.), tensor(3.0000))
    """
    return _trace(_square(A))


def expm_2x2(A: Tensor) -> Tensor:
    r"""Exponential of 2 x 2 matrices in closed form, by Cayley and Hamilton.

    With :math:`A=hI+B`, where B has trace 0, and :math:`\delta^2=-\det B` it is
    :math:`e^h(\cosh\delta\,I+\frac{\sinh\delta}{\delta}B)`.

    Parameters
    ----------
    A : (..., 2, 2)
        Real or complex.

    Returns
    -------
    (..., 2, 2)
        Real when `A` is.

    Examples
    --------
    >>> expm_2x2(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
    tensor([[1., 3.],
            [0., 1.]])
    """
    if _square(A).shape[-1] != 2:
        raise ValueError(f"A must have shape (..., 2, 2), got {tuple(A.shape)}")
    half = _trace(A)[..., None, None] / 2
    B = A - half * _eye_like(A)
    square = (B[..., :1, :1] ** 2 + B[..., :1, 1:] * B[..., 1:, :1]) + 0j
    # Near 0 a series: neither 0/0 nor the root's infinite slope. Elsewhere the larger
    # exponential is drawn out, so that nothing overflows before exp(A) does.
    near = square.abs() < 1e-6
    root = torch.sqrt(torch.where(near, 1, square))
    small, large = torch.exp(half), torch.exp(half + root)
    cosh = torch.where(
        near,
        small * (1 + square / 2 + square**2 / 24),
        large * (1 + torch.exp(-2 * root)) / 2,
    )
    sinhc = torch.where(
        near,
        small * (1 + square / 6 + square**2 / 120),
        large * -torch.expm1(-2 * root) / (2 * root),
    )
    exponential = cosh * _eye_like(A) + sinhc * B
    return exponential if A.is_complex() else exponential.real


def expm_series(A: Tensor, order: int) -> Tensor:
    """Taylor polynomial of exp(A), up to A^order / order!, `eq-det-exp-taylor`.

    For teaching: the series converges for every A, but the terms of a matrix with large
    negative eigenvalues cancel to noise. Use `torch.linalg.matrix_exp`.

    Raises
    ------
    ValueError
        `order` is negative.

    Examples
    --------
    >>> expm_series(torch.tensor([[0.0, 3.0], [0.0, 0.0]]), 1)  # nilpotent: exact
    tensor([[1., 3.],
            [0., 1.]])
    """
    _at_least(0, order=order)
    term = total = _eye_like(_square(A)).expand_as(A)
    for k in range(1, order + 1):
        term = term @ A / k
        total = total + term
    return total


def logm_series(A: Tensor, order: int) -> Tensor:
    """Partial sum of ln(I + A) = A - A^2/2 + A^3/3 - ..., `eq-det-exp-log-series`.

    Parameters
    ----------
    A : (..., n, n)
        Real or complex, of a spectral radius of at most 1. At 1 itself the series
        diverges if -1, or the eigenvalue of a longer Jordan block, is on the circle.
    order
        The last power.

    Raises
    ------
    ValueError
        The spectral radius exceeds 1 by more than rounding, or `order` is negative.

    Examples
    --------
    >>> A = torch.tensor([[0.0, 100.0], [0.0, 0.0]])  # the norm does not matter
    >>> torch.linalg.matrix_exp(logm_series(A, 1))
    tensor([[  1., 100.],
            [  0.,   1.]])
    """
    _at_least(0, order=order)
    radius = torch.linalg.eigvals(_square(A).detach()).abs().max().item()
    if radius > 1 + math.sqrt(torch.finfo(A.dtype).eps):
        raise ValueError(
            f"A must have a spectral radius of at most 1, got {radius:.6g}: "
            "the series diverges"
        )
    power, total = A, torch.zeros_like(A)
    for k in range(1, order + 1):
        total = total - (-1) ** k / k * power
        power = power @ A
    return total


def logdet_series(J: Tensor, order: int) -> Tensor:
    """Partial sum of log det(I + J) = tr J - tr J^2 / 2 + ...: trace of `logm_series`.

    Its error is at most `logdet_series_bound`.

    >>> J = torch.tensor([[0.0, 0.5], [0.5, 0.0]], dtype=torch.float64)
    >>> logdet_series(J, 60).item()  # log of 3/4
    -0.2876820724517809
    """
    return _trace(logm_series(J, order))


def logdet_series_bound(lipschitz: float, n: int, order: int) -> float:
    """Largest error of `logdet_series`: n L^k / k, summed over all k > order.

    `eq-det-exp-logdet-series`; the matrix -L I attains it.

    Parameters
    ----------
    lipschitz
        Bound L of the spectral norm of J, in [0, 1).
    n
        Size of J.
    order
        The last power of the partial sum.

    Raises
    ------
    ValueError
        A parameter outside its range.

    Examples
    --------
    >>> logdet_series_bound(0.5, 3, 0)  # no term at all: 3 log 2
    2.0794
    """
    _at_least(0, order=order)
    _at_least(1, n=n)
    if not 0 <= lipschitz < 1:
        raise ValueError(f"lipschitz must lie in [0, 1), got {lipschitz}")
    # the tail in closed form; logarithm minus partial sum would cancel
    first = order + 1
    tail = special.hyp2f1(1, first, first + 1, lipschitz)
    return float(n * lipschitz**first / first * tail)


def elementary_symmetric(A: Tensor) -> Tensor:
    """Elementary symmetric polynomials of the eigenvalues, `eq-det-exp-perturbation`.

    The coefficients of det(I + tA) = 1 + e_1 t + ... + e_n t^n; e_1 is the trace, e_n
    the determinant.

    Parameters
    ----------
    A : (..., n, n)
        Real or complex.

    Returns
    -------
    (..., n + 1)

    Notes
    -----
    Faddeev and Le Verrier: n matrix products, no eigenvalues, gradients everywhere.
    Rounding errors grow with n; beyond n = 20 multiply out the eigenvalues instead.

    Examples
    --------
    >>> elementary_symmetric(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([ 1.,  5., -2.])
    """
    eye = _eye_like(_square(A))
    coefficients, M = [torch.ones_like(A[..., 0, 0])], eye
    for k in range(1, len(eye) + 1):
        AM = A @ M
        coefficients.append(_trace(AM) / k)
        M = coefficients[k][..., None, None] * eye - AM
    return torch.stack(coefficients, dim=-1)


def det_perturbation(
    A: Tensor, eps: float | Tensor, order: int | None = None
) -> Tensor:
    """det(I + eps A) up to the power `order` of eps, `eq-det-exp-perturbation`.

    Parameters
    ----------
    A : (..., n, n)
        Real or complex.
    eps : number or (...)
        Size of the perturbation.
    order
        From 0 to n; n by default, which is exact.

    Returns
    -------
    (...)

    Raises
    ------
    ValueError
        `order` outside its range.

    Examples
    --------
    >>> A = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> [det_perturbation(A, 0.5, order).item() for order in (0, 1, 2)]
    [1.0, 3.5, 3.0]
    """
    coefficients = elementary_symmetric(A)
    n = A.shape[-1]
    order = n if order is None else order
    if not 0 <= order <= n:
        raise ValueError(f"order must lie between 0 and n = {n}, got {order}")
    total = torch.zeros_like(coefficients[..., 0])
    for k in range(order, -1, -1):
        total = total * eps + coefficients[..., k]
    return total


def probes(
    num: int,
    n: int,
    dist: Distribution = "rademacher",
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Random vectors v with E vv' = I, as rows, on the generator's device.

    Parameters
    ----------
    num, n
        Number and dimension.
    dist
        `rademacher` has entries -1 and 1, `gaussian` normal ones; `sphere` is uniform
        on the sphere of radius sqrt(n).
    generator
        Where the numbers come from.
    dtype
        Torch's default if not given.

    Returns
    -------
    (num, n)

    Raises
    ------
    ValueError
        `num` or `n` below 1, or an unknown `dist`.

    Examples
    --------
    >>> probes(3, 4, "sphere").norm(dim=1)
    tensor([2.0000, 2.0000, 2.0000])
    """
    _at_least(1, num=num, n=n)
    if dist not in ("rademacher", "gaussian", "sphere"):
        raise _unknown(dist)
    device = None if generator is None else generator.device
    v = torch.randn(num, n, generator=generator, dtype=dtype, device=device)
    if dist == "rademacher":
        return torch.where(v < 0, -torch.ones_like(v), torch.ones_like(v))
    return v if dist == "gaussian" else math.sqrt(n) * nn.functional.normalize(v)


def _mean_and_error(draws: Tensor) -> tuple[Tensor, Tensor]:
    return draws.mean(), draws.std() / math.sqrt(len(draws))


def hutchinson_trace(
    matvec: Callable[[Tensor], Tensor],
    n: int,
    num: int,
    dist: Distribution = "rademacher",
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Estimate tr A as the mean of v'Av over random v, `stmt-det-exp-hutchinson`.

    Parameters
    ----------
    matvec
        Maps vectors, as rows (num, n), to their products with A, (num, n).
    n
        Size of A.
    num
        Number of probes, >= 2.
    dist, generator, dtype
        Of the `probes`.

    Returns
    -------
    estimate, standard error : (), ()

    Raises
    ------
    ValueError
        `num` below 2, `n` below 1, an unknown `dist`, or products of another shape.

    Examples
    --------
    >>> diagonal = torch.tensor([1.0, 2.0, 4.0])  # without error, for entries -1 and 1
    >>> hutchinson_trace(lambda v: v * diagonal, 3, 10)
    (tensor(7.), tensor(0.))
    """
    _at_least(2, num=num)
    v = probes(num, n, dist, generator, dtype=dtype)
    return _mean_and_error((v * _same_shape("matvec", matvec, v)).sum(dim=1))


def hutchinson_variance(A: Tensor, dist: Distribution = "rademacher") -> Tensor:
    """Variance of v'Av for one of the `probes`, `stmt-det-exp-hutchinson`.

    It depends on the symmetric part S of the real matrix A alone: on all of S for
    Gaussian probes, on S without its diagonal for Rademacher probes, on S without its
    mean eigenvalue on the sphere.

    >>> S = torch.tensor([[1.0, 2.0], [2.0, 3.0]])
    >>> [hutchinson_variance(S, d).item() for d in ("gaussian", "rademacher", "sphere")]
    [36.0, 16.0, 10.0]
    """
    if _square(A).is_complex():
        raise TypeError(f"A must be real, got {A.dtype}")
    n, S = A.shape[-1], (A + A.mT) / 2
    total = S.square().sum(dim=(-2, -1))
    if dist == "gaussian":
        return 2 * total
    if dist == "rademacher":
        return 2 * (total - S.diagonal(dim1=-2, dim2=-1).square().sum(dim=-1))
    if dist == "sphere":
        return 2 * n / (n + 2) * (total - _trace(S) ** 2 / n)
    raise _unknown(dist)


def logdet_roulette(
    matvec: Callable[[Tensor], Tensor],
    n: int,
    num: int,
    p: float,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Estimate log det(I + J) without bias, from products with J only.

    The series tr J - tr J^2 / 2 + ... stops at a random, geometric N, and term k is
    divided by the probability that N >= k: `stmt-det-exp-roulette`.

    Parameters
    ----------
    matvec
        Maps vectors, as rows (m, n), to their products with J, (m, n), for any m.
    n
        Size of J.
    num
        Number of draws, >= 2, each with one Rademacher probe for all its traces.
    p
        Probability to stop after each term; a draw takes 1 / p products in the mean.
        The variance is finite if the spectral radius of J is below sqrt(1 - p).
    generator, dtype
        Of stops and probes.

    Returns
    -------
    estimate, standard error : (), ()

    Raises
    ------
    ValueError
        `p` outside (0, 1), `num` below 2, `n` below 1, or products of another shape.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> estimate, error = logdet_roulette(lambda v: v / 10, 3, 1000, 0.5, g)
    >>> bool(abs(estimate - 3 * math.log(1.1)) < 5 * error)
    True
    """
    _at_least(2, num=num)
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, got {p}")
    v = probes(num, n, generator=generator, dtype=dtype)
    last = torch.empty_like(v[:, 0]).geometric_(p, generator=generator)
    draws, power, k = torch.zeros_like(last), v, 1
    running = torch.arange(num, device=v.device)
    while len(running):
        power = _same_shape("matvec", matvec, power)
        weight = -((-1) ** k) / k / (1 - p) ** (k - 1)
        draws = draws.index_add(0, running, weight * (v[running] * power).sum(dim=1))
        stays = last[running] > k
        running, power, k = running[stays], power[stays], k + 1
    return _mean_and_error(draws)


Slope = Callable[[float, Tensor], tuple[Tensor, Tensor]]


def _runge_kutta(
    slope: Slope, x: Tensor, t0: float, t1: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Solve x' = slope(t, x)[0], and integrate slope(t, x)[1] along the solution."""
    _at_least(1, steps=steps)
    h = (t1 - t0) / steps
    integral = torch.zeros((), dtype=x.dtype, device=x.device)
    for step in range(steps):
        t = t0 + step * h
        v1, w1 = slope(t, x)
        v2, w2 = slope(t + h / 2, x + h / 2 * v1)
        v3, w3 = slope(t + h / 2, x + h / 2 * v2)
        v4, w4 = slope(t + h, x + h * v3)
        x = x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        integral = integral + h / 6 * (w1 + 2 * w2 + 2 * w3 + w4)
    return x, integral


def liouville(
    A_fn: Callable[[float], Tensor], t0: float, t1: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Solve X' = A(t) X from X = I, and integrate tr A(t), which is log det X.

    `eq-det-exp-liouville`. The solution itself is not the exponential of an integral.

    Parameters
    ----------
    A_fn
        Maps a time to a matrix, (n, n).
    t0, t1
        Start and end.
    steps
        Of the classical Runge-Kutta method, >= 1.

    Returns
    -------
    X : (n, n)
    integral : ()

    Raises
    ------
    TypeError, ValueError
        `A_fn` gives no square matrix, or `steps` is below 1.

    Examples
    --------
    >>> X, integral = liouville(lambda t: t * torch.eye(2), 0.0, 2.0, 50)
    >>> torch.logdet(X), integral
    (tensor(4.0000), tensor(4.0000))
    """

    def slope(t: float, X: Tensor) -> tuple[Tensor, Tensor]:
        A = _square(A_fn(t), "A_fn(t)")
        return A @ X, _trace(A)

    return _runge_kutta(slope, _eye_like(_square(A_fn(t0), "A_fn(t)")), t0, t1, steps)


def _field_and_divergence(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    exact: bool = True,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    if x.ndim != 2:
        raise ValueError(f"x must have shape (batch, n), got {tuple(x.shape)}")
    value, pull = torch.func.vjp(lambda x: _same_shape("f", f, x), x)[:2]
    if exact:
        # the i-th unit vector, at every point, pulls back to row i of the Jacobians
        units = _eye_like(x)[:, None].expand(-1, *x.shape)
        (rows,) = torch.func.vmap(pull)(units)
        return value, (rows * units).sum(dim=(0, 2))
    batch, n = x.shape
    v = probes(batch, n, generator=generator, dtype=x.dtype).to(x.device)
    return value, (pull(v)[0] * v).sum(dim=1)


def divergence(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    exact: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Divergence of a vector field: the trace of its Jacobian, at every point.

    Parameters
    ----------
    f
        Maps points (batch, n) to vectors (batch, n), each on its own: a module without
        batch normalisation, for example.
    x : (batch, n)
        Points.
    exact
        By n backward passes, vectorised; otherwise by one, with a Rademacher probe a
        point: unbiased, of the variance `hutchinson_variance`.
    generator
        Of the probes.

    Returns
    -------
    (batch,)
        Differentiable in `x` and in what `f` depends on.

    Raises
    ------
    ValueError
        `x` is not of shape (batch, n), or `f` changes it.

    Examples
    --------
    >>> divergence(lambda x: x**2, torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    tensor([6., 6.])
    """
    return _field_and_divergence(f, x, exact, generator)[1]


def flow_logdet(
    f: Callable[[Tensor], Tensor], x: Tensor, T: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Follow x' = f(x), and integrate the divergence: log det of the flow's Jacobian.

    `eq-det-exp-flow`: where points have the log density `log_p`, their images have
    `log_p - logdet`.

    Parameters
    ----------
    f, x
        As in `divergence`.
    T
        Duration; negative to go back.
    steps
        Of the classical Runge-Kutta method, >= 1.

    Returns
    -------
    x_T : (batch, n)
    logdet : (batch,)

    Examples
    --------
    >>> flow_logdet(lambda x: -x, torch.ones(1, 3), 2.0, 100)
    (tensor([[0.1353, 0.1353, 0.1353]]), tensor([-6.0000]))
    """
    return _runge_kutta(lambda _, x: _field_and_divergence(f, x), x, 0.0, T, steps)


class ExpLinear(nn.Module):
    """An invertible linear layer W = exp(A), whose log-determinant is tr A.

    It starts as the identity, no value of A makes it singular, and its inverse is
    exp(-A), `eq-det-exp-inverse`. Forming exp(A) costs O(n^3) all the same.

    Parameters
    ----------
    n
        Number of features, >= 1.
    dtype, device
        Of the parameter `A`, (n, n).

    Examples
    --------
    >>> layer = ExpLinear(2)
    >>> z, logdet = layer(torch.tensor([[3.0, 4.0]]))
    >>> z.tolist(), logdet.item()
    ([[3.0, 4.0]], 0.0)
    """

    def __init__(
        self,
        n: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        _at_least(1, n=n)
        self.A = nn.Parameter(torch.zeros(n, n, dtype=dtype, device=device))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x, (..., n), to W x; and log det W, (), one for all."""
        return self._times_exp("x", x, self.A), logdet_exp(self.A)

    def inverse(self, z: Tensor) -> Tensor:
        """Map z, (..., n), back to x."""
        return self._times_exp("z", z, -self.A)

    def _times_exp(self, name: str, x: Tensor, A: Tensor) -> Tensor:
        if x.shape[-1:] != A.shape[-1:]:
            raise ValueError(
                f"{name} must have shape (..., {len(A)}), got {tuple(x.shape)}"
            )
        return x @ torch.linalg.matrix_exp(A).mT

    def extra_repr(self) -> str:
        return f"n={len(self.A)}"
