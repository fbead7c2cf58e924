r"""The curve of a skipping rope: closed form, three numerical roads, and its relatives.

A rope turning about an axis maximises its moment of inertia at given length, and the
multiplier of the length is the tension. Without gravity, and held at both ends, it is
the troposkein :math:`y=a\operatorname{sn}(u,k)`. Here are that curve, also with gravity
in the plane of the rope, the rope with one free end on a turning pole, chains of rods
for comparison, and the curves it is mistaken for; the page is
`book/mathematics/skipping_rope`.

SciPy's elliptic functions take the parameter m = k^2; so does everything here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize, special

from kexue.mathematics.checks import whole

if TYPE_CHECKING:
    import torch

__all__ = [
    "Solution",
    "Troposkein",
    "arc",
    "catenary",
    "chain",
    "hanging_chain",
    "inertia",
    "modulus",
    "parabola",
    "sine_arch",
    "strut",
    "triangle",
    "troposkein_gravity",
    "troposkein_shoot",
    "whirling",
    "whirling_roots",
]

Array = NDArray[np.float64]
Curve = Callable[[ArrayLike], tuple[Array, Array]]


@dataclass(frozen=True)
class Solution:
    """A computed rope: arrays of one shape along the arc length `s`."""

    s: Array
    x: Array
    y: Array
    tension: Array


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"{name} must be a positive number, got {number}")


def _ratio(span: float, length: float) -> float:
    _positive(span=span)
    if not 1 + 1e-6 <= length / span <= 1e6:
        raise ValueError(
            f"length must be from 1 + 1e-6 to 1e6 times the span {span}, got {length}"
        )
    return length / span


def _integrals(chi: ArrayLike, m1: float) -> tuple[Array, Array]:
    """F(chi) and the integral of sn^2/dn^2 up to it, by Carlson's symmetric forms.

    SciPy's `ellipkinc` and `ellipeinc` are a tenth off at isolated points.
    """
    chi = np.asarray(chi, dtype=float)
    turns = np.round(chi / np.pi)
    sine, cosine2 = np.sin(chi - turns * np.pi), np.cos(chi) ** 2
    dn2 = cosine2 + m1 * sine**2
    whole = 2 * turns * special.elliprf(0, m1, 1), 2 * turns * special.elliprd(0, 1, m1)
    first = whole[0] + sine * special.elliprf(cosine2, dn2, 1)
    return first, (whole[1] + sine**3 * special.elliprd(cosine2, 1, dn2)) / 3


def _piece(chi: float, q: float) -> tuple[float, float]:
    """Excess length and height of the axis, over the span, of a symmetric piece of the
    curve whose half span has the elliptic amplitude `chi` as seen from the belly.

    The unknown q = -ln(1 - m) keeps 1 - m from rounding to 0."""
    m, m1 = -np.expm1(-q), np.exp(-q)
    first, second = _integrals(chi, m1)
    cd = np.cos(chi) / np.sqrt(np.cos(chi) ** 2 + m1 * np.sin(chi) ** 2)
    return float(2 * m * second / first), float(np.sqrt(m) * cd / (m1 * first))


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(f, low, high, xtol=1e-18))


def _half_angle(ratio: float) -> float:
    """Half the angle of a circular arc that is `ratio` times as long as its chord."""
    return _root(lambda t: np.sin(t) / t - 1 / ratio, 1e-4, np.pi)


def modulus(ratio: float) -> tuple[float, float]:
    """Solve `eq-rope-ratio` for the parameter of the elliptic functions.

    Parameters
    ----------
    ratio
        Length over span, from 1 + 1e-6 to 1e6.

    Returns
    -------
    m = k^2 and 1 - m, both to full relative accuracy.

    Raises
    ------
    ValueError
        `ratio` out of range.

    Examples
    --------
    >>> m, m1 = modulus(1.5)
    >>> round(m, 6)
    0.34551
    """
    if not 1 + 1e-6 <= ratio <= 1e6:
        raise ValueError(f"ratio must be from 1 + 1e-6 to 1e6, got {ratio}")
    q = _root(lambda q: _piece(np.pi / 2, q)[0] - (ratio - 1), 1e-15, 60)
    return float(-np.expm1(-q)), float(np.exp(-q))


@dataclass(frozen=True)
class Troposkein:
    """The rope held at (0, 0) and (span, 0), in closed form (`eq-rope-sn`).

    Distances are from the line through the hands; tensions and moments are in units of
    rho omega^2 and of rho, except where `rho` and `omega` are given.

    Parameters
    ----------
    span, length
        Distance of the hands and length of the rope, 1 + 1e-6 <= length / span <= 1e6.
    shift
        g / omega^2 for the rope at its lowest point, -g / omega^2 at its highest
        (`eq-rope-shift`); 0 without gravity.

    Raises
    ------
    ValueError
        Span or length out of range; `shift` beyond the fold, where a rope at the top
        falls down, or above 1e6 spans.

    Examples
    --------
    >>> rope = Troposkein(1.0, 1.5)
    >>> round(rope.amplitude, 4), round(rope.tension0 / rope.tension_h, 4)
    (0.5157, 2.0558)
    """

    span: float
    length: float
    shift: float = 0.0

    def __post_init__(self) -> None:
        _ratio(self.span, self.length)
        if not abs(self.shift) <= 1e6 * self.span:
            raise ValueError(f"shift must be at most 1e6 spans, got {self.shift}")
        _ = self._loop

    @cached_property
    def _loop(self) -> tuple[float, float, float]:
        """m, 1 - m and the amplitude chi of the half span."""
        excess, shift = self.length / self.span - 1, self.shift / self.span
        m, m1 = modulus(1 + excess)
        if abs(shift) < 1e-10:
            return m, m1, np.pi / 2
        if shift > 0:  # outer unknown q, inner unknown chi

            def angle(q: float) -> float:
                return _root(lambda chi: _piece(chi, q)[0] - excess, 1e-9, np.pi / 2)

            # a hair above the unshifted q, where the angle is pi / 2
            start = -np.log(m1) * (1 + 1e-11)
            q = _root(lambda q: _piece(angle(q), q)[1] - shift, start, 60)
            chi = angle(q)
        else:  # the other way round, up to the fold

            def parameter(chi: float) -> float:
                return _root(lambda q: _piece(chi, q)[0] - excess, 1e-15, 60)

            def height(chi: float) -> float:
                return _piece(chi, parameter(chi))[1]

            ends = (np.pi / 2, 3 * np.pi / 2)
            fold = optimize.minimize_scalar(height, bounds=ends, method="bounded")
            if shift <= fold.fun:
                raise ValueError(
                    f"shift must be above {fold.fun * self.span:.6g}, where a rope of "
                    f"this length falls from its highest position, got {self.shift}"
                )
            chi = _root(lambda chi: height(chi) - shift, ends[0], fold.x)
            q = parameter(chi)
        return float(-np.expm1(-q)), float(np.exp(-q)), chi

    @property
    def m(self) -> float:
        """Parameter m = k^2 of the elliptic functions."""
        return self._loop[0]

    @property
    def k(self) -> float:
        """Modulus of the elliptic functions."""
        return float(np.sqrt(self.m))

    @cached_property
    def _scale(self) -> tuple[float, float]:
        """Radius a of the belly and du/dx."""
        m1, chi = self._loop[1:]
        half = float(_integrals(chi, m1)[0])
        return self.span * self.k / (m1 * half), 2 * half / self.span

    @property
    def amplitude(self) -> float:
        """Greatest distance from the line through the hands (the sag)."""
        return self._scale[0] - self.shift

    @property
    def tension_h(self) -> float:
        """The tension's component along the axis, `H` = c^2, the same everywhere."""
        m, m1, _ = self._loop
        return self._scale[0] ** 2 * m1 / (4 * m)

    @property
    def tension0(self) -> float:
        """The tension at the hands, `eq-rope-tension`."""
        return self.tension_h + (self._scale[0] ** 2 - self.shift**2) / 2

    @property
    def first_moment(self) -> float:
        """The integral of the distance over the arc length."""
        _, m1, chi = self._loop
        dn2 = np.cos(chi) ** 2 + m1 * np.sin(chi) ** 2
        slope = 2 * self.k * np.sin(chi) / dn2
        return float(2 * self.tension_h * slope - self.shift * self.length)

    @property
    def inertia(self) -> float:
        """The integral of the squared distance over the arc length (`eq-rope-inertia`,
        with two more terms when the axis is shifted)."""
        a, H = self._scale[0], self.tension_h
        force = self.first_moment + self.shift * self.length
        whole = (H + a**2 / 2) * self.length - H * self.span + self.shift * force
        return 2 * whole / 3 - self.shift * (2 * force - self.shift * self.length)

    def _elliptic(self, x: ArrayLike) -> tuple[Array, Array, Array]:
        x = np.asarray(x, dtype=float)
        if not (np.abs(x - self.span / 2) <= self.span * (0.5 + 1e-9)).all():
            raise ValueError(f"x must lie in [0, {self.span}], got {x!r}")
        _, cn, dn, am = special.ellipj(self._scale[1] * (x - self.span / 2), self.m)
        return x, cn / dn, am

    def y(self, x: ArrayLike) -> Array:
        """Distance from the line through the hands at `x` in [0, span]."""
        return self._scale[0] * self._elliptic(x)[1] - self.shift

    def tension(self, x: ArrayLike, rho: float = 1.0, omega: float = 1.0) -> Array:
        """Tension at `x` for line density `rho` and angular velocity `omega`."""
        _positive(rho=rho, omega=omega)
        a, height = self._scale[0], self.y(x) + self.shift
        return rho * omega**2 * (self.tension_h + (a**2 - height**2) / 2)

    def arclength(self, x: ArrayLike) -> Array:
        """Length of the rope from the first hand to `x`."""
        x, _, am = self._elliptic(x)
        rest = 2 * self.m * _integrals(am, self._loop[1])[1] / self._scale[1]
        return self.length / 2 + x - self.span / 2 + rest

    def points(self, n: int) -> Array:
        """`n` points from hand to hand, equally spaced in arc length, shape (n, 2)."""
        s = np.linspace(0, self.length, whole("n", n, 2))
        low, high = np.zeros(n), np.full(n, float(self.span))
        for _ in range(54):  # bisection to the last bit
            middle = (low + high) / 2
            short = self.arclength(middle) < s
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        x = np.concatenate([[0.0], low[1:-1], [self.span]])
        return np.column_stack([x, self.y(x)])


def _fly(
    phi0: float,
    tension0: float,
    length: float,
    rho: float | Callable[[float], float],
    omega: float,
    s: Array | None = None,
) -> Array:
    """Integrate `eq-rope-force` from a hand: x, y, angle and tension, shape (4, n)."""
    density = rho if callable(rho) else lambda s: rho

    def motion(s: float, state: Array) -> list[float]:
        _, y, phi, T = state
        pull = density(s) * omega**2 * y
        return [np.cos(phi), np.sin(phi), -pull * np.cos(phi) / T, -pull * np.sin(phi)]

    start, at = [0.0, 0.0, phi0, tension0], [length] if s is None else s
    found = integrate.solve_ivp(
        motion, (0, length), start, rtol=1e-11, atol=1e-12, t_eval=at, method="DOP853"
    )
    return found.y


def troposkein_shoot(
    span: float,
    length: float,
    rho: float | Callable[[float], float] = 1.0,
    omega: float = 1.0,
) -> Solution:
    """The rope between two hands by shooting: the second road (`stmt-rope-shooting`).

    Parameters
    ----------
    span, length
        As for `Troposkein`; its angle and tension at the hand are the first guess.
    rho
        Line density, a number or a function of the arc length.
    omega
        Angular velocity.

    Returns
    -------
    201 points; `x` runs along the axis, `y` is the distance from it.

    Raises
    ------
    ValueError
        An argument out of range.
    RuntimeError
        The shooting found no rope.
    """
    _positive(omega=omega, **({} if callable(rho) else {"rho": rho}))
    rope, s = Troposkein(span, length), np.linspace(0, length, 201)
    unit = omega**2 * (np.mean([rho(t) for t in s]) if callable(rho) else rho)

    def miss(unknown: Array) -> Array:
        phi, log_tension = unknown
        x, y = _fly(phi, np.exp(log_tension), length, rho, omega)[:2, -1]
        return np.array([x - span, y]) / span

    guess = [np.arccos(rope.tension_h / rope.tension0), np.log(unit * rope.tension0)]
    found = optimize.root(miss, guess, tol=1e-12)
    if np.abs(found.fun).max() > 1e-8:
        raise RuntimeError(f"shooting missed the second hand by {found.fun} spans")
    x, y, _, tension = _fly(found.x[0], np.exp(found.x[1]), length, rho, omega, s)
    return Solution(s, x, y, tension)


def troposkein_gravity(
    span: float, length: float, eps: float, steps: int = 20
) -> list[Solution]:
    """A rope with both ends on a turning vertical pole, under gravity
    (`eq-rope-two-ends`), by continuation from the troposkein.

    Parameters
    ----------
    span, length
        As for `Troposkein`; the ends are at heights 0 and `span`.
    eps
        g / (omega^2 span), not negative.
    steps
        Number of equal steps from 0 to `eps`.

    Returns
    -------
    `steps` + 1 ropes, the first without gravity, the last at `eps`; `x` is the distance
    from the pole, `y` the height, tensions are in units of rho omega^2.

    Raises
    ------
    ValueError
        An argument out of range.
    RuntimeError
        No rope was found at some `eps`; the message names the last good one.
    """
    rope = Troposkein(span, length)
    if not eps >= 0 or steps < 1:
        raise ValueError(f"expected eps >= 0 and steps >= 1, got {eps} and {steps}")
    s, family, good = np.linspace(0, length, 201), [], 0.0
    height, x = rope.points(len(s)).T
    angle = np.arccos(np.clip(rope.tension_h / rope.tension(height), -1, 1))
    state = np.vstack([x, height, angle * np.sign(span / 2 - height)])
    mesh, tension0, last = s, np.array([rope.tension0]), None

    for value in np.linspace(0, eps, steps + 1):
        g = value * span

        def tension(state: Array, p: Array, g: float = g) -> Array:
            return p[0] - state[0] ** 2 / 2 + g * state[1]

        def slope(s: Array, state: Array, p: Array, g: float = g) -> Array:
            x, _, phi = state
            turn = -(x * np.cos(phi) + g * np.sin(phi)) / tension(state, p, g)
            return np.vstack([np.sin(phi), np.cos(phi), turn])

        def ends(a: Array, b: Array, p: Array) -> Array:
            return np.array([a[0], a[1], b[0], b[1] - span])

        with np.errstate(all="ignore"):
            found = integrate.solve_bvp(
                slope, ends, mesh, state, tension0, tol=1e-8, max_nodes=20_000
            )
        x, y, _ = dense = found.sol(s)
        if not found.success or tension(dense, found.p).min() <= 0 or x.max() <= 1e-6:
            raise RuntimeError(f"no rope at eps = {value:.6g}; last good {good:.6g}")
        family.append(Solution(s, x, y, tension(dense, found.p)))
        mesh, state, tension0, good = found.x, found.y, found.p, value
        if last is not None:  # go straight ahead
            state, tension0 = 2 * state - last.sol(mesh), 2 * tension0 - last.p
        last = found
    return family


def _whirl(mu: float, ends: Array, sigma: Array, rtol: float = 1e-9) -> Array:
    """Integrate `eq-rope-free-end` upwards from free ends at the distances `ends`: x,
    height above the end and outward pull, shape (3, ends, points)."""
    direction = np.hypot(1, mu * ends)

    def motion(sigma: float, state: Array) -> Array:
        x, _, P = state.reshape(3, -1)
        T = np.hypot(P, sigma)
        if sigma == 0:  # 0 / 0: the free end points along the force on it
            return np.concatenate([-mu * ends / direction, 1 / direction, mu * x])
        return np.concatenate([-P / T, sigma / T, mu * x])

    start = np.concatenate([ends, 0 * ends, 0 * ends])
    found = integrate.solve_ivp(
        motion,
        (0, 1),
        start,
        rtol=rtol,
        atol=1e-4 * rtol,
        t_eval=sigma,
        method="DOP853",
    )
    return found.y.reshape(3, len(ends), -1)


def whirling_roots(mu: float, hook: float = 0.0) -> Array:
    """Where the free end can be, for a rope whose other end turns with a pole.

    Parameters
    ----------
    mu
        omega^2 S / g, positive.
    hook
        Distance of the hook from the axis over the rope's length S, not negative.

    Returns
    -------
    All distances of the free end over S, increasing. For `hook` = 0 only the positive
    ones: the vertical line and mirror images are left out.

    Raises
    ------
    ValueError
        An argument out of range.

    Examples
    --------
    >>> whirling_roots(1.2).size, whirling_roots(2.0).round(4)
    (0, array([0.7006]))
    """
    _positive(mu=mu)
    if not (np.isfinite(hook) and hook >= 0):
        raise ValueError(f"hook must not be negative, got {hook}")
    top = np.array([1.0])
    # the modes crowd near the axis
    grid = 1 - np.cos(np.linspace(0, np.pi / 2, 61))
    grid[0] = 1e-6
    grid = hook + np.concatenate([grid] if hook == 0 else [-grid[::-1], grid])
    grid[-1] += 1e-9

    def miss(end: float) -> float:
        return _whirl(mu, np.array([end]), top)[0, 0, 0] - hook

    gap = _whirl(mu, grid, top, 1e-5)[0, :, 0] - hook
    crossings = np.flatnonzero(gap[:-1] * gap[1:] < 0)
    roots = [optimize.brentq(miss, grid[i], grid[i + 1], xtol=1e-12) for i in crossings]
    return np.array(roots)


def whirling(mu: float, hook: float = 0.0, end: float | None = None) -> Solution:
    """A rope tied to a turning pole, the other end free (`eq-rope-free-end`).

    Parameters
    ----------
    mu
        omega^2 S / g, positive.
    hook
        Distance of the hook from the axis over the rope's length S.
    end
        Distance of the free end over S; then the rope is followed from there, and its
        upper end `x[0]` is wherever it arrives, whatever `hook` is. By default the
        outermost of `whirling_roots`.

    Returns
    -------
    201 points from the upper end (`s` = 0, `y` = 0) to the free one; lengths in units
    of S, tension in units of the rope's weight.

    Raises
    ------
    ValueError
        An argument out of range.
    RuntimeError
        `hook` = 0 and the rope turns too slowly to leave the axis.

    Examples
    --------
    >>> rope = whirling(2.0)
    >>> print(rope.x[-1].round(4), rope.tension[0].round(3))
    0.7006 1.196
    """
    _positive(mu=mu)
    if end is None:
        roots = whirling_roots(mu, hook)
        if not roots.size:
            threshold = special.jn_zeros(0, 1)[0] ** 2 / 4
            raise RuntimeError(
                f"only the vertical line: mu = {mu} is below {threshold:.6f}"
            )
        end = roots[-1]
    sigma = np.linspace(0, 1, 201)
    x, y, P = _whirl(mu, np.array([float(end)]), sigma)[:, 0, ::-1]
    return Solution(sigma, x, y - y[0], np.hypot(P, sigma[::-1]))


def _action(
    theta: Array, rod: float, spin: float, gravity: float, hook: float = 0.0
) -> tuple[float, Array]:
    """Spin / 2 times the inertia, minus gravity times the first moment of height, of
    rods at the angles `theta` from the upward axis; and the gradient."""
    x = np.concatenate([[hook], hook + rod * np.cumsum(np.sin(theta))])
    y = np.concatenate([[0.0], rod * np.cumsum(np.cos(theta))])
    pairs = np.sum(x[:-1] ** 2 + x[:-1] * x[1:] + x[1:] ** 2)
    value = rod * (spin * pairs / 6 - gravity * (y[1:] + y[:-1]).sum() / 2)
    after = np.concatenate([x[2:], [0.0]])
    by_x = rod * spin * (x[:-1] + 4 * x[1:] + after) / 6
    by_x[-1] -= rod * spin * x[-1] / 3
    by_y = np.full(len(theta), -rod * gravity)
    by_y[-1] /= 2
    below_x, below_y = np.cumsum(by_x[::-1])[::-1], np.cumsum(by_y[::-1])[::-1]
    return value, rod * (below_x * np.cos(theta) - below_y * np.sin(theta))


def chain(
    span: float,
    length: float,
    n: int,
    eps: float = 0.0,
    solver: Literal["slsqp", "torch"] = "slsqp",
    generator: torch.Generator | None = None,
) -> tuple[Array, Array, float, Array]:
    """A chain of `n` equal rods of greatest inertia: the third road
    (`stmt-rope-chain`, `exp-rope-random-starts`).

    Parameters
    ----------
    span, length
        Distance of the ends along the axis, length of the chain.
    n
        Number of rods.
    eps
        g / (omega^2 span) for a vertical axis, as in `troposkein_gravity`.
    solver
        `slsqp` is SciPy's; `torch` is an augmented Lagrangian with L-BFGS.
    generator
        Draws normal angles to start from; without it the start is a circular arc.

    Returns
    -------
    z, y, inertia, multipliers
        Positions along the axis and distances from it, (n + 1,) each; the moment of
        inertia; the derivatives of half the inertia (minus gravity's share) by the
        two coordinates of the far end: the pull there, without gravity about
        (-H, sqrt(tension0^2 - H^2)).

    Raises
    ------
    ValueError
        An argument out of range.
    RuntimeError
        The solver did not meet the constraints.
    """
    ratio, rod, gravity = _ratio(span, length), length / whole("n", n, 2), eps * span
    if solver not in ("slsqp", "torch"):
        raise ValueError(f"solver must be 'slsqp' or 'torch', got {solver!r}")
    if generator is None:
        half = _half_angle(ratio)
        theta = half * (1 - (2 * np.arange(n) + 1) / n)
    else:
        import torch

        theta = torch.randn(n, generator=generator, dtype=torch.float64).numpy()
    maximise = _maximise_slsqp if solver == "slsqp" else _maximise_torch
    theta, multipliers = maximise(theta, rod, gravity, span)
    z = np.concatenate([[0.0], rod * np.cumsum(np.cos(theta))])
    y = np.concatenate([[0.0], rod * np.cumsum(np.sin(theta))])
    if not abs(z[-1] - span) + abs(y[-1]) <= 1e-6 * span:
        raise RuntimeError(f"{solver} ended at ({z[-1]}, {y[-1]}), not ({span}, 0)")
    if y.sum() < 0:  # the mirror image is as good
        y, multipliers = -y, multipliers * [1, -1]
    return z, y, 2 * _action(theta, rod, 1, 0)[0], multipliers


def _maximise_slsqp(
    theta: Array, rod: float, gravity: float, span: float
) -> tuple[Array, Array]:
    def objective(theta: Array) -> tuple[float, Array]:
        value, gradient = _action(theta, rod, 1, gravity)
        return -value, -gradient

    def gap(theta: Array) -> Array:
        ends = rod * np.cos(theta).sum(), rod * np.sin(theta).sum()
        return np.array([ends[0] - span, ends[1]])

    def gap_gradient(theta: Array) -> Array:
        return rod * np.vstack([-np.sin(theta), np.cos(theta)])

    found = optimize.minimize(
        objective,
        theta,
        jac=True,
        method="SLSQP",
        constraints={"type": "eq", "fun": gap, "jac": gap_gradient},
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    gradient = _action(found.x, rod, 1, gravity)[1]
    multipliers = np.linalg.lstsq(gap_gradient(found.x).T, gradient, rcond=None)[0]
    return found.x, np.asarray(multipliers)


def _maximise_torch(
    start: Array, rod: float, gravity: float, span: float
) -> tuple[Array, Array]:
    import torch

    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([span, 0.0], dtype=torch.float64)
    multipliers, weight = torch.zeros(2, dtype=torch.float64), 10.0

    def gap() -> torch.Tensor:
        return rod * torch.stack([theta.cos().sum(), theta.sin().sum()]) - target

    def closure() -> torch.Tensor:
        theta.grad = None
        y = torch.nn.functional.pad(rod * theta.sin().cumsum(0), (1, 0))
        z = torch.nn.functional.pad(rod * theta.cos().cumsum(0), (1, 0))
        pairs = y[:-1] ** 2 + y[:-1] * y[1:] + y[1:] ** 2
        action = rod * (pairs.sum() / 6 - gravity * (z[1:] + z[:-1]).sum() / 2)
        loss = multipliers @ gap() + weight / 2 * (gap() ** 2).sum() - action
        loss.backward()
        return loss

    for _ in range(30):
        optimiser = torch.optim.LBFGS(
            [theta],
            max_iter=500,
            history_size=20,
            tolerance_grad=1e-10,
            tolerance_change=1e-15,
            line_search_fn="strong_wolfe",
        )
        optimiser.step(closure)
        with torch.no_grad():
            multipliers += weight * gap()
            if gap().abs().max() < 1e-9 * span:
                break
    return theta.detach().numpy(), multipliers.numpy()


def hanging_chain(mu: float, hook: float, n: int) -> tuple[Array, Array]:
    """The rope of `whirling` as a chain of `n` rods of least energy, unconstrained.

    Returns
    -------
    Distances from the axis and heights below 0, (n + 1,) each, from the hook down, in
    units of the length.

    Raises
    ------
    ValueError
        An argument out of range.
    """
    _positive(mu=mu)
    rod = 1 / whole("n", n, 2)

    def energy(theta: Array) -> tuple[float, Array]:
        value, gradient = _action(theta, rod, mu, 1, hook)
        return -value, -gradient

    tilted = np.full(n, 0.7 * np.pi)
    found = optimize.minimize(
        energy, tilted, jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    x = hook + rod * np.cumsum(np.sin(found.x))
    y = rod * np.cumsum(np.cos(found.x))
    return np.concatenate([[hook], x]), np.concatenate([[0.0], y])


def strut(x: ArrayLike, beta: float) -> Array:
    """Height of dy/dx = 1 / sqrt(beta^2 x^4 - 1) above its lowest `x`, beta^(-1/2).

    That curve solves the rope's equations with *negative* tension (`stmt-rope-strut`).

    Raises
    ------
    ValueError
        `beta` not positive, or an `x` below beta^(-1/2).
    """
    _positive(beta=beta)
    cosine = 1 / (np.sqrt(beta) * np.asarray(x, dtype=float))
    if not ((cosine > 0) & (cosine <= 1)).all():
        raise ValueError(f"x must be at least beta^(-1/2) = {beta**-0.5}, got {x!r}")
    return special.ellipkinc(np.arccos(cosine), 0.5) / np.sqrt(2 * beta)


def _arch(span: float, height: Callable[[Array], Array]) -> Curve:
    def curve(t: ArrayLike) -> tuple[Array, Array]:
        t = np.asarray(t, dtype=float)
        return span * t, height(t)

    return curve


def catenary(span: float, length: float) -> Curve:
    """The hanging chain of that span and length: a function of t in [0, 1] that gives x
    and the distance from the line through the ends, as do the next four."""
    ratio = _ratio(span, length)
    z = _root(lambda z: np.sinh(z) / z - ratio, 1e-4, 30)
    scale = span / (2 * z)
    return _arch(span, lambda t: scale * (np.cosh(z) - np.cosh(z * (2 * t - 1))))


def parabola(span: float, length: float) -> Curve:
    """The parabola of that span and length."""
    ratio = _ratio(span, length)
    w = _root(
        lambda w: (np.hypot(1, w) + np.arcsinh(w) / w) / 2 - ratio, 1e-5, 4 * ratio
    )
    return _arch(span, lambda t: w * span * t * (1 - t))


def sine_arch(span: float, length: float) -> Curve:
    """The half wave of a sine of that span and length."""
    ratio = _ratio(span, length)

    def excess(w: float) -> float:
        second = special.ellipe(w**2 / (1 + w**2))
        return 2 / np.pi * np.hypot(1, w) * second - ratio

    w = _root(excess, 1e-5, 4 * ratio)
    return _arch(span, lambda t: w * span / np.pi * np.sin(np.pi * t))


def arc(span: float, length: float) -> Curve:
    """The circular arc of that span and length, overhanging when longer than half a
    circle."""
    half = _half_angle(_ratio(span, length))

    def curve(t: ArrayLike) -> tuple[Array, Array]:
        angle, radius = half * (2 * np.asarray(t, dtype=float) - 1), length / (2 * half)
        return span / 2 + radius * np.sin(angle), radius * (
            np.cos(angle) - np.cos(half)
        )

    return curve


def triangle(span: float, length: float) -> Curve:
    """Two straight halves of that span and length."""
    _ratio(span, length)
    height = np.sqrt(length**2 - span**2) / 2
    return _arch(span, lambda t: height * (1 - np.abs(2 * t - 1)))


def inertia(curve: Curve, n: int = 20_001) -> float:
    """The integral of the squared distance over the arc length of a curve such as
    `catenary(span, length)`, from a polygon of `n` points.

    >>> round(inertia(triangle(6.0, 10.0)), 4)  # two rods of length 5 and height 4
    53.3333
    """
    x, y = curve(np.linspace(0, 1, n))
    pieces = np.hypot(np.diff(x), np.diff(y))
    return float(pieces @ (y[:-1] ** 2 + y[:-1] * y[1:] + y[1:] ** 2) / 3)
