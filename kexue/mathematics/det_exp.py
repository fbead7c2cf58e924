r"""The identity det exp(A) = exp tr A, and what lives on it.

Matrix functions by their series, the determinant near the identity, traces from probes,
and flows, whose log-determinant is the integral of a trace. All of it in torch, batch
first, for real or complex matrices unless said otherwise. The page is
`book/mathematics/det_exp`, whose labels the docstrings name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
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
]

Matvec = Callable[[Tensor], Tensor]


def _require_square(A: Tensor, size: int | None = None) -> None:
    square = A.ndim >= 2 and A.shape[-1] == A.shape[-2]
    if not square or (size is not None and A.shape[-1] != size):
        n = "n" if size is None else size
        raise ValueError(f"A must have shape (..., {n}, {n}), got {tuple(A.shape)}")


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def logdet_exp(A: Tensor) -> Tensor:
    """log det exp(A) by the right-hand side of `eq-det-exp-main`: the trace.

    Parameters
    ----------
    A : (..., n, n)
        Real or complex.

    Returns
    -------
    (...) tensor: n - 1 additions each.

    Raises
    ------
    ValueError
        `A` is not square.

    >>> logdet_exp(torch.tensor([[1.0, 5.0], [7.0, 2.0]]))
    tensor(3.)
    """
    _require_square(A)
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)


def expm_2x2(A: Tensor) -> Tensor:
    """exp(A) of 2 x 2 matrices in closed form, by Cayley and Hamilton.

    With h = tr A / 2 and d^2 = h^2 - det A it is e^h (cosh d I + sinh d / d (A - h I)).
    Both factors are functions of d^2 alone, so d^2 < 0 (a rotation) needs no complex
    numbers, and a short series takes over where sinh d / d would be 0 / 0.

    Parameters
    ----------
    A : (..., 2, 2)
        Real or complex floating point; the result has its dtype.

    Raises
    ------
    ValueError
        `A` is not of shape (..., 2, 2).

    >>> expm_2x2(math.pi * torch.tensor([[0.0, -1.0], [1.0, 0.0]])).round().abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    _require_square(A, 2)
    h = logdet_exp(A)[..., None, None] / 2
    identity = torch.eye(2, dtype=A.dtype, device=A.device)
    B = A - h * identity
    square = -torch.linalg.det(B)[..., None, None]  # d^2, without cancellation
    near = square.abs() < 1e-6
    safe = torch.where(near, torch.ones_like(square), square)
    if A.is_complex():
        d = safe.sqrt()
        cosh, sinhc = d.cosh(), d.sinh() / d
    else:
        d = safe.abs().sqrt()
        grows = safe > 0
        # an overflow in the branch not taken would make its gradient NaN
        real = torch.where(grows, d, torch.ones_like(d))
        cosh = torch.where(grows, real.cosh(), d.cos())
        sinhc = torch.where(grows, real.sinh() / real, d.sin() / d)
    cosh = torch.where(near, 1 + square / 2 + square**2 / 24, cosh)
    sinhc = torch.where(near, 1 + square / 6 + square**2 / 120, sinhc)
    return h.exp() * (cosh * identity + sinhc * B)


def expm_series(A: Tensor, order: int) -> Tensor:
    """The Taylor polynomial of exp(A), `eq-det-exp-taylor`; for teaching.

    It converges for every `A`, and loses every digit on the way when `A` has large
    negative eigenvalues: use `torch.linalg.matrix_exp`.

    Parameters
    ----------
    A : (..., n, n)
    order
        Highest power, at least 0.

    Raises
    ------
    ValueError
        `A` is not square, or `order` is negative.
    """
    _require_square(A)
    if order < 0:
        raise ValueError(f"order must not be negative, got {order}")
    term = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand_as(A)
    total = term.clone()
    for k in range(1, order + 1):
        term = term @ A / k
        total = total + term
    return total


def logm_series(A: Tensor, order: int) -> Tensor:
    """The series of ln(I + A), `eq-det-exp-log-series`, up to A^order; for teaching.

    Raises
    ------
    ValueError
        `A` is not square, `order` is below 1, or the spectral radius exceeds 1, where
        the series diverges.
    """
    _require_square(A)
    _require_positive("order", order)
    radius = torch.linalg.eigvals(A).abs().max().item()
    if radius > 1:
        raise ValueError(
            "the series of ln(I + A) needs a spectral radius of at most 1, "
            f"got {radius:.6g}"
        )
    power, total = A, A
    for k in range(2, order + 1):
        power = power @ A
        total = total - (-1) ** k * power / k
    return total


def elementary_symmetric(A: Tensor) -> Tensor:
    """Elementary symmetric polynomials e_0 ... e_n of the eigenvalues.

    Faddeev and LeVerrier's recursion, at a cost of n^4; no eigenvalues are computed. It
    is unstable for n above about 20.

    Parameters
    ----------
    A : (..., n, n)

    Returns
    -------
    (..., n + 1) tensor; e_1 is the trace and e_n the determinant.

    Raises
    ------
    ValueError
        `A` is not square.

    >>> elementary_symmetric(torch.diag(torch.tensor([1.0, 2.0, 3.0])))
    tensor([ 1.,  6., 11.,  6.])
    """
    _require_square(A)
    n = A.shape[-1]
    identity = torch.eye(n, dtype=A.dtype, device=A.device)
    M = torch.zeros_like(A)
    e = [torch.ones_like(A[..., 0, 0])]
    for k in range(1, n + 1):
        M = e[-1][..., None, None] * identity - A @ M
        e.append(logdet_exp(A @ M) / k)
    return torch.stack(e, dim=-1)


def det_perturbation(A: Tensor, eps: float, order: int | None = None) -> Tensor:
    """det(I + eps A) to the given order in eps, `eq-det-exp-perturbation`.

    Parameters
    ----------
    A : (..., n, n)
    eps
        The small number.
    order
        Highest power of `eps` kept, 0 to n; all of them (then exact) without it.

    Raises
    ------
    ValueError
        `A` is not square, or `order` lies outside 0 ... n.
    """
    e = elementary_symmetric(A)
    top = e.shape[-1] - 1 if order is None else order
    if not 0 <= top < e.shape[-1]:
        raise ValueError(f"order must lie between 0 and {e.shape[-1] - 1}, got {order}")
    powers = eps ** torch.arange(top + 1, dtype=e.dtype, device=e.device)
    return (e[..., : top + 1] * powers).sum(-1)


def logdet_series(J: Tensor, order: int) -> Tensor:
    """log det(I + J) by traces of powers, `eq-det-exp-logdet-series`.

    Parameters
    ----------
    J : (..., n, n)
        With a spectral norm below 1.
    order
        Number of terms, at least 1.

    Raises
    ------
    ValueError
        `J` is not square, or `order` is below 1.
    """
    _require_square(J)
    _require_positive("order", order)
    power, total = J, logdet_exp(J)
    for k in range(2, order + 1):
        power = power @ J
        total = total - (-1) ** k * logdet_exp(power) / k
    return total


def logdet_series_bound(lipschitz: float, n: int, order: int) -> float:
    """What `logdet_series` can be off by at most, for a spectral norm <= `lipschitz`.

    Raises
    ------
    ValueError
        `lipschitz` outside [0, 1), or `n` or `order` below 1.
    """
    if not 0 <= lipschitz < 1:
        raise ValueError(f"lipschitz must lie in [0, 1), got {lipschitz}")
    _require_positive("n", n)
    _require_positive("order", order)
    kept = math.fsum(lipschitz**k / k for k in range(1, order + 1))
    return n * (-math.log1p(-lipschitz) - kept)


def _probes(
    n: int, num: int, dist: str, like: torch.dtype, generator: torch.Generator | None
) -> Tensor:
    """`num` probes of length n with E v v' = I, as columns."""
    _require_positive("n", n)
    _require_positive("num", num)
    if dist == "rademacher":
        bits = torch.randint(0, 2, (n, num), generator=generator)
        return (2 * bits - 1).to(like)
    v = torch.randn(n, num, generator=generator, dtype=like)
    if dist == "gaussian":
        return v
    if dist == "sphere":
        return v * math.sqrt(n) / v.norm(dim=0)
    raise ValueError(f"dist must be 'rademacher', 'gaussian' or 'sphere', got {dist!r}")


def _mean_and_error(samples: Tensor) -> tuple[Tensor, Tensor]:
    return samples.mean(), samples.std() / math.sqrt(len(samples))


def hutchinson_trace(
    matvec: Matvec,
    n: int,
    num: int,
    dist: str = "rademacher",
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Estimate tr A from products with A only, `stmt-det-exp-hutchinson`.

    Parameters
    ----------
    matvec
        Maps (n, num) to (n, num): A times each column.
    n
        Size of the matrix.
    num
        Number of probes, at least 2.
    dist
        Law of the probes: `rademacher` (signs), `gaussian`, or `sphere` (radius sqrt n).
    generator
        Where the probes come from.
    dtype
        Of the probes.

    Returns
    -------
    estimate, standard error
        0-dimensional tensors.

    Raises
    ------
    ValueError
        `num` below 2, `n` below 1, or an unknown `dist`.
    """
    if num < 2:
        raise ValueError(f"num must be at least 2, for a standard error, got {num}")
    v = _probes(n, num, dist, dtype, generator)
    return _mean_and_error((v * matvec(v)).sum(0))


def hutchinson_variance(A: Tensor, dist: str = "rademacher") -> Tensor:
    """Variance of one probe's v'Av, which only A's symmetric part S decides.

    Parameters
    ----------
    A : (n, n)
        Real.
    dist
        As for `hutchinson_trace`.

    Raises
    ------
    ValueError
        `A` is not square, or an unknown `dist`.

    >>> hutchinson_variance(torch.tensor([[3.0, 1.0], [1.0, 5.0]]))
    tensor(4.)
    """
    _require_square(A)
    S = (A + A.mT) / 2
    squared, n = S.square().sum((-2, -1)), A.shape[-1]
    if dist == "gaussian":
        return 2 * squared
    if dist == "rademacher":
        return 2 * (squared - S.diagonal(dim1=-2, dim2=-1).square().sum(-1))
    if dist == "sphere":
        return 2 * n / (n + 2) * (squared - logdet_exp(S) ** 2 / n)
    raise ValueError(f"dist must be 'rademacher', 'gaussian' or 'sphere', got {dist!r}")


def logdet_roulette(
    matvec: Matvec,
    n: int,
    num: int,
    p: float,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Estimate log det(I + J) without bias, by random stops: `stmt-det-exp-roulette`.

    Term k of `logdet_series` is weighted by one over the probability of reaching it,
    (1 - p)^(k - 1); each of the `num` draws has its own Rademacher probe.

    Parameters
    ----------
    matvec
        Maps (n, m) to (n, m): J times each column; the spectral norm of J is below 1.
    n
        Size of the matrix.
    num
        Number of draws, at least 2.
    p
        Probability of stopping after each term, in (0, 1). The variance stays finite
        only if the squared norm of J is below 1 - p.
    generator
        Where the probes and the stopping times come from.
    dtype
        Of the probes.

    Returns
    -------
    estimate, standard error
        0-dimensional tensors.

    Raises
    ------
    ValueError
        `p` outside (0, 1), `num` below 2, or `n` below 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, got {p}")
    if num < 2:
        raise ValueError(f"num must be at least 2, for a standard error, got {num}")
    v = _probes(n, num, "rademacher", dtype, generator)
    samples, power, alive = torch.zeros(num, dtype=dtype), v, torch.arange(num)
    k = 1
    while len(alive):
        power = matvec(power)
        weight = -((-1) ** k) / k / (1 - p) ** (k - 1)
        samples[alive] += weight * (v[:, alive] * power).sum(0)
        goes_on = torch.rand(len(alive), generator=generator) >= p
        alive, power, k = alive[goes_on], power[:, goes_on], k + 1
    return _mean_and_error(samples)


def _rk4(
    f: Callable[[float, Tensor], Tensor], y: Tensor, t0: float, h: float
) -> Tensor:
    """One step of the classical Runge-Kutta method."""
    k1 = f(t0, y)
    k2 = f(t0 + h / 2, y + h / 2 * k1)
    k3 = f(t0 + h / 2, y + h / 2 * k2)
    k4 = f(t0 + h, y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def liouville(
    A_fn: Callable[[float], Tensor], t0: float, t1: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Solve X' = A(t) X, X(t0) = I, and integrate tr A: `eq-det-exp-liouville`.

    Parameters
    ----------
    A_fn
        Maps a time to an (n, n) matrix.
    t0, t1
        First and last time.
    steps
        Steps of the Runge-Kutta method, at least 1.

    Returns
    -------
    X, integral
        The (n, n) solution at `t1`, and the integral of the trace, by Simpson's rule on
        the same nodes.

    Raises
    ------
    ValueError
        `A_fn` returns no square matrix, or `steps` is below 1.
    """
    _require_positive("steps", steps)
    first = A_fn(t0)
    _require_square(first)
    X = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device)
    integral, h = torch.zeros_like(first[0, 0]), (t1 - t0) / steps
    for k in range(steps):
        t = t0 + k * h
        X = _rk4(lambda time, Y: A_fn(time) @ Y, X, t, h)
        ends = logdet_exp(A_fn(t)) + logdet_exp(A_fn(t + h))
        integral = integral + h / 6 * (ends + 4 * logdet_exp(A_fn(t + h / 2)))
    return X, integral


def divergence(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    exact: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Divergence of a vector field, the trace of its Jacobian.

    Parameters
    ----------
    f
        Maps (batch, d) to (batch, d), each example by itself.
    x : (batch, d)
    exact
        All d derivatives if true; else one Rademacher probe an example, unbiased.
    generator
        Where the probe comes from.

    Returns
    -------
    (batch,) tensor, differentiable.

    Raises
    ------
    ValueError
        `x` is no matrix, or `f` changes its shape.
    """
    if x.ndim != 2:
        raise ValueError(f"x must have shape (batch, d), got {tuple(x.shape)}")
    y, vjp, *_ = torch.func.vjp(f, x)
    if y.shape != x.shape:
        raise ValueError(
            f"f must keep the shape {tuple(x.shape)}, got {tuple(y.shape)}"
        )
    if exact:
        units = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        columns = [vjp(unit.expand_as(x))[0][:, i] for i, unit in enumerate(units)]
        return torch.stack(columns).sum(0)
    v = _probes(x.shape[1], len(x), "rademacher", x.dtype, generator).mT.to(x.device)
    return (vjp(v)[0] * v).sum(1)


def flow_logdet(
    f: Callable[[Tensor], Tensor], x: Tensor, T: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Carry points along z' = f(z) and keep account of the volume: `eq-det-exp-flow`.

    Parameters
    ----------
    f
        Maps (batch, d) to (batch, d), each example by itself.
    x : (batch, d)
        Where the points start.
    T
        For how long.
    steps
        Steps of the Runge-Kutta method, at least 1.

    Returns
    -------
    z : (batch, d)
        Where the points arrive.
    logdet : (batch,)
        Logarithm of the factor by which the flow scales the volume there: the integral
        of the divergence. The log-density falls by as much.

    Raises
    ------
    ValueError
        `x` is no matrix, `f` changes its shape, or `steps` is below 1.
    """
    _require_positive("steps", steps)

    def both(_: float, state: Tensor) -> Tensor:
        z = state[:, :-1]
        return torch.cat([f(z), divergence(f, z)[:, None]], dim=1)

    state = torch.cat([x, x.new_zeros(len(x), 1)], dim=1)
    for k in range(steps):
        state = _rk4(both, state, k * T / steps, T / steps)
    return state[:, :-1], state[:, -1]


class ExpLinear(nn.Module):
    """The linear layer z = exp(A) x, invertible whatever its weights.

    Its log-determinant is tr A and its inverse exp(-A) (`eq-det-exp-inverse`): no
    determinant, no solve, no singular case. It reaches no matrix of negative
    determinant, nor every one of positive determinant.

    Parameters
    ----------
    features
        Size of x, at least 1. The layer starts as the identity.

    Raises
    ------
    ValueError
        `features` below 1, or an input whose last axis has another size.

    >>> layer = ExpLinear(3)
    >>> z, logdet = layer(torch.ones(5, 3))
    >>> z.shape, logdet
    (torch.Size([5, 3]), tensor(0., grad_fn=<SumBackward1>))
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        _require_positive("features", features)
        self.A = nn.Parameter(torch.zeros(features, features))

    def _multiply(self, x: Tensor, W: Tensor) -> Tensor:
        if x.shape[-1:] != W.shape[-1:]:
            raise ValueError(
                f"x must have shape (..., {W.shape[-1]}), got {tuple(x.shape)}"
            )
        return x @ W.mT

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., n) to (..., n), and the log-determinant, the same for each x."""
        return self._multiply(x, torch.linalg.matrix_exp(self.A)), logdet_exp(self.A)

    def inverse(self, z: Tensor) -> Tensor:
        """(..., n) to (..., n): the x of z."""
        return self._multiply(z, torch.linalg.matrix_exp(-self.A))
