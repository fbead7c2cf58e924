"""The skipping rope: claims that are not on the page, parity, properties, bad input."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, interpolate, linalg, optimize, special

from kexue import claims
from kexue.mathematics import skipping_rope as rope
from kexue.randomness import generator

ROPE = rope.Troposkein(1.0, 1.5)
ratios = st.floats(1.001, 30)


def test_catenary_of_the_standing_pole():
    """eq-rope-catenary: a = 1 is the only size that the printed integral fits."""
    a, x, b, s, C1, C2 = sp.symbols("a x b s C1 C2", positive=True)
    y = sp.Function("y")(x)
    # y dy/ds = s + C1 and the arc length give (dx/ds)^2 = 1 - ((s + C1)/y)^2
    square = sp.diff(s**2 / 2 + C1 * s + C2 / 2, s) ** 2
    height = s**2 + 2 * C1 * s + C2
    slope = sp.simplify((1 - square / height) / (square / height))  # (dx/dy)^2
    Y = sp.symbols("Y", positive=True)
    slope = sp.simplify(slope.subs(C2, a**2 + C1**2))
    expected = a**2 / (Y**2 - a**2)
    on_curve = expected.subs(Y**2, height.subs(C2, a**2 + C1**2))
    equation = y * y.diff(x, 2) - 1 - y.diff(x) ** 2
    curve, printed = a * sp.cosh((x - b) / a), a * sp.cosh(x - b)
    found = sp.Matrix([slope, equation.subs(y, curve).doit()])
    factor = {"a dropped from dx/dy": sp.Matrix([on_curve / a**2, 0])}
    factor["a dropped from cosh"] = (
        sp.Matrix([slope, equation.subs(y, printed).doit()]),
        sp.Matrix([on_curve, 0]),
    )
    right = sp.Matrix([on_curve, 0])
    claims.identity("eq-rope-catenary", found, right, controls=factor)
    assert sp.simplify(equation.subs(y, printed).doit() - (a**2 - 1)) == 0


def test_curve_without_multiplier_is_a_strut():
    """stmt-rope-strut: compression, a largest span, and lengths that are forced."""
    w, beta, p, lam = sp.symbols("omega beta p lambda", positive=True)
    x = sp.sqrt((1 + p**2) / beta)  # no nearer to the axis than beta^(-1/2)
    slope = 1 / sp.sqrt(beta**2 * x**4 - 1)
    dy_ds = slope / sp.sqrt(1 + slope**2)
    tension, constant = -(w**2) * x**2 / 2, -(w**2) / (2 * beta)  # H = T dy/ds
    wrong = {"as a rope": ((lam + tension) * dy_ds, constant)}
    claims.identity("stmt-rope-strut", tension * dy_ds, constant, controls=wrong)

    def half(power, t):  # the integral of cos^-power over the half curve
        return integrate.quad(
            lambda u: np.cos(u) ** -power / np.sqrt(1 + np.cos(u) ** 2),
            0,
            t,
            epsabs=1e-14,
            epsrel=1e-13,
        )[0]

    t = np.linspace(0.1, 1.4, 14)
    height = rope.strut(1 / np.cos(t), 1.0)
    assert_allclose(height, [half(0, u) for u in t], rtol=1e-12)
    assert rope.strut(1e9, 1.0) == pytest.approx(
        special.gamma(0.25) ** 2 / (4 * np.sqrt(2 * np.pi)), abs=1e-8
    )
    assert rope.strut(1e9, 4.0) == pytest.approx(1.3110288 / 2, abs=1e-7)

    def span(t):  # between two points at distance 1 from the axis
        return 2 * np.cos(t) * rope.strut(1 / np.cos(t), 1.0)

    widest = optimize.minimize_scalar(lambda t: -span(t), bounds=(0, 1.5))
    assert -widest.fun == pytest.approx(0.84479, abs=1e-5)
    roots = [
        optimize.brentq(lambda t: span(t) - 0.5, *ends)
        for ends in [(0.01, widest.x), (widest.x, 1.57)]
    ]
    lengths = [2 * np.cos(t) * half(2, t) for t in roots]
    inertias = [2 * np.cos(t) ** 3 * half(4, t) for t in roots]
    forced = [0.5252, 1.7215]
    chosen = {"a length of one's own": [1.0, 1.0]}
    claims.equal("stmt-rope-strut", lengths, forced, atol=1e-4, controls=chosen)
    assert_allclose(inertias, [0.478, 0.675], atol=6e-4)
    assert rope.Troposkein(0.5, 1.0).amplitude > 0  # a rope takes any length


def test_action_and_its_first_integral():
    """eq-rope-action: Beltrami's constant; the equation leaves out the catenary."""
    w, lam, y, P, Q = sp.symbols("w lambda y P Q", real=True)
    L = (w * y**2 / 2 - lam) * sp.sqrt(1 + P**2)
    beltrami = P * L.diff(P) - L
    euler = L.diff(P, y) * P + L.diff(P, 2) * Q - L.diff(y)
    along = beltrami.diff(y) * P + beltrami.diff(P) * Q
    right = sp.Matrix([(lam - w * y**2 / 2) / sp.sqrt(1 + P**2), P * euler])
    wrong = {"no multiplier": right.subs(lam, 0)}
    left = sp.Matrix([beltrami, along])
    claims.identity("eq-rope-action", left, right, controls=wrong)

    x, m = np.linspace(0, 1, 4001), ROPE.m
    a, rate = ROPE.amplitude, 2 * special.ellipk(m)
    sn, cn, dn, _ = special.ellipj(rate * x, m)
    first, second = a * rate * cn * dn, -a * rate**2 * sn * (1 + m - 2 * m * sn**2)

    def residual(y, first, second, lam):
        return 2 * (lam - y**2 / 2) * second + 2 * y * (1 + first**2)

    z = optimize.brentq(lambda z: np.sinh(z) / z - 1.5, 1, 3)
    height = rope.catenary(1.0, 1.5)(x)[1]
    slopes = np.sinh(z * (1 - 2 * x)), -2 * z * np.cosh(z * (1 - 2 * x))

    def worst(lam):
        return np.abs(residual(height, *slopes, lam)).max()

    best = optimize.minimize_scalar(worst, bounds=(0, 3), method="bounded")
    assert best.fun == pytest.approx(1.403, abs=1e-3)  # in the sup norm
    claims.equal(
        "eq-rope-action",
        residual(ROPE.y(x), first, second, ROPE.tension0),
        np.zeros(4001),
        atol=1e-11,
        controls={"catenary, any multiplier": residual(height, *slopes, best.x)},
    )


def test_balance_of_forces():
    """eq-rope-force: how tension and direction change along the rope."""
    s, p, y = sp.symbols("s p y", real=True)
    T, phi = sp.Function("T")(s), sp.Function("phi")(s)
    balance = [(T * sp.cos(phi)).diff(s), (T * sp.sin(phi)).diff(s) + p * y]
    solved = sp.solve(balance, [T.diff(s), phi.diff(s)], dict=True)[0]
    found = sp.Matrix([solved[T.diff(s)], solved[phi.diff(s)]])
    right = sp.Matrix([-p * y * sp.sin(phi), -p * y * sp.cos(phi) / T])
    wrong = {"hanging": sp.Matrix([right[0], -right[1]])}
    claims.identity("eq-rope-force", found, right, controls=wrong)


def test_span_and_length():
    """eq-rope-span-length: complete integrals; with E for 2E the rope is too short."""
    S, m = sp.symbols("S m", positive=True)  # S = sn; (E(am u))' = dn^2
    claims.identity(
        "eq-rope-span-length",
        (1 - m * S**2) - (1 - m),
        m * (1 - S**2),  # so the integral of cn^2 over [0, 2K] is 2 (E - m1 K) / m
        controls={"m1 for m": (1 - m) * (1 - S**2)},
    )
    lengths, spans, halved = [], [], []
    for ratio in [1.1, 1.5, 3.0, 10.0]:
        m, m1 = rope.modulus(ratio)
        curve = rope.Troposkein(1.0, ratio)
        a, K, E = curve.amplitude, special.ellipkm1(m1), special.ellipe(m)
        polygon = curve.points(4001)
        lengths.append(np.hypot(*np.diff(polygon, axis=0).T).sum() / ratio)
        spans.append(a * m1 * K / np.sqrt(m))
        halved.append(a / np.sqrt(m) * (E - m1 * K) / ratio)
        assert a / np.sqrt(m) * (2 * E - m1 * K) == pytest.approx(ratio, rel=1e-13)
    claims.equal(
        "eq-rope-span-length",
        lengths + spans,
        np.ones(8),
        rtol=1e-6,
        controls={"E for 2E": (halved + spans, np.ones(8))},
    )
    polygon = ROPE.points(201)
    assert np.hypot(*np.diff(polygon, axis=0).T).sum() == pytest.approx(1.5, rel=2e-5)


def test_shooting_finds_sn():
    """stmt-rope-shooting: the same curve to many digits; half the tension misses."""
    shot = rope.troposkein_shoot(1.0, 1.5)
    exact = ROPE.y(np.clip(shot.x, 0, 1))
    phi = np.arccos(ROPE.tension_h / ROPE.tension0)
    ends = rope._fly(phi, ROPE.tension0, 1.5, 1.0, 1.0)[:2, -1]
    slack = rope._fly(phi, ROPE.tension0 / 2, 1.5, 1.0, 1.0)[:2, -1]
    assert_allclose(slack, [0.973, -0.342], atol=5e-4)
    claims.equal(
        "stmt-rope-shooting",
        np.append(shot.y - exact, ends),
        np.append(np.zeros(201), [1, 0]),
        atol=1e-9,
        controls={"half the tension": np.append(np.zeros(201), slack)},
    )
    assert_allclose(shot.tension, ROPE.tension(np.clip(shot.x, 0, 1)), rtol=1e-9)


def zigzag(n):
    """The chain of least inertia: what a slip of sign would find."""
    rod, alternating = 1.5 / n, np.where(np.arange(n) % 2, -1.0, 1.0)

    def objective(theta):
        value, gradient = rope._action(theta, rod, 1, 0)
        return value, gradient

    def gap(theta):
        return rod * np.array([np.cos(theta).sum(), np.sin(theta).sum()]) - [1, 0]

    found = optimize.minimize(
        objective,
        alternating * np.arccos(1 / 1.5),
        jac=True,
        method="SLSQP",
        constraints={"type": "eq", "fun": gap},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    z = np.append(0, rod * np.cumsum(np.cos(found.x)))
    return z, np.append(0, rod * np.cumsum(np.sin(found.x)))


def error(z, y):
    return np.abs(y - ROPE.y(np.clip(z, 0, 1))).max()


def test_chain_converges_quadratically():
    """stmt-rope-chain: order two, from below; minimising gives a zigzag instead."""
    sizes = [8, 16, 32, 64, 128]
    chains = [rope.chain(1.0, 1.5, n) for n in sizes]
    errors = np.array([error(z, y) for z, y, *_ in chains])
    assert_allclose(errors, [6.1e-3, 1.4e-3, 3.6e-4, 8.9e-5, 2.2e-5], rtol=0.05)
    deficit = np.array([1 - found[2] / ROPE.inertia for found in chains])
    assert_allclose(deficit[[0, -1]], [1.3e-2, 5.2e-5], rtol=0.05)
    wrong = [zigzag(n) for n in (16, 32)]
    order = np.log2(error(*wrong[0]) / error(*wrong[1]))
    claims.equal(
        "stmt-rope-chain",
        np.log2(np.append(errors[2:4] / errors[3:], deficit[2:4] / deficit[3:])),
        np.full(4, 2.0),
        atol=0.1,
        controls={"least inertia": np.full(4, order)},
    )
    z, y = wrong[1]
    length = np.hypot(np.diff(z), np.diff(y)).sum()
    assert length == pytest.approx(1.5)
    assert np.abs(y).max() < 0.05
    multipliers = chains[-1][3]
    pull = np.sqrt(ROPE.tension0**2 - ROPE.tension_h**2)
    assert_allclose(multipliers, [-ROPE.tension_h, pull], rtol=1e-3)


def test_further_modes():
    """stmt-rope-modes: two half-loops are stationary, with a quarter of the inertia."""
    found, loops = [], [2, 3, 4]
    for n in loops:
        small = rope.Troposkein(1 / n, 1.5 / n)
        phi = np.arccos(small.tension_h / small.tension0)
        end = rope._fly(phi, small.tension0, 1.5, 1.0, 1.0)[:2, -1]
        assert_allclose(end, [1, 0], atol=1e-8)  # they obey the balance of forces
        found.append(n * small.inertia / ROPE.inertia)
    expected = 1 / np.array(loops) ** 2
    wrong = {"stationary implies maximal": np.ones(3)}
    claims.equal("stmt-rope-modes", found, expected, rtol=1e-12, controls=wrong)


def test_taut_and_long_limits():
    """eq-rope-limits: a sine when taut, a doubled string when long."""
    m, d, root = sp.symbols("m delta r", positive=True)  # r = sqrt(delta)
    order = range(4)
    coefficient = [sp.binomial(2 * n, n) ** 2 / sp.Integer(16) ** n for n in order]
    K = sum(c * m**n for n, c in enumerate(coefficient))  # in units of pi / 2
    E = sum(c * m**n / (1 - 2 * n) for n, c in enumerate(coefficient))
    ratio = sp.series(2 * E / ((1 - m) * K) - 1, m, 0, 3).removeO()
    q = sp.symbols("q")
    solved = sp.expand(ratio.subs(m, d + q * d**2) - 1).coeff(d, 2)
    parameter = d + sp.solve(solved, q)[0] * d**2
    height = sp.sqrt(sp.expand(parameter / d)) * root / ((1 - m) * K).subs(m, parameter)
    height = sp.series((2 / sp.pi * height / root).subs(d, root**2), root, 0, 3)
    left = sp.Matrix([parameter, height.removeO()])
    right = sp.Matrix([d - 7 * d**2 / 8, 2 / sp.pi * (1 + 5 * root**2 / 16)])
    parabola = sp.Matrix([right[0], sp.sqrt(sp.Rational(3, 8))])
    claims.identity("eq-rope-limits", left, right, controls={"parabola": parabola})

    def leading(d):
        return 2 / np.pi * np.sqrt(d) * (1 + 5 * d / 16)

    assert rope.Troposkein(1, 1.01).amplitude == pytest.approx(leading(0.01), rel=1e-5)
    assert rope.Troposkein(1, 1.1).amplitude == pytest.approx(0.20751, abs=1e-5)
    assert leading(0.1) == pytest.approx(0.20761, abs=1e-5)
    assert rope.Troposkein(0.1, 1).amplitude == pytest.approx(0.4903, abs=1e-4)
    x, taut = np.linspace(0, 1, 101), rope.Troposkein(1, 1.0001)
    assert_allclose(taut.y(x), taut.amplitude * np.sin(np.pi * x), atol=1e-6)


def test_fast_rope_lies_flat():
    """eq-rope-flat: it sags 2 ln 2 g/omega^2 and pulls with half omega^2 S^2."""
    t, mu = sp.symbols("sigma mu", positive=True)
    pull = mu * sp.integrate(1 - t, t)  # of the part beyond, lying on the x axis
    depth = sp.integrate(sp.simplify(t / pull), (t, 0, 1))
    left = sp.Matrix([depth * mu, pull.subs(t, 1) / mu])
    right = sp.Matrix([2 * sp.log(2), sp.Rational(1, 2)])
    wrong = {"all mass at the end": sp.Matrix([1, 1])}
    claims.identity("eq-rope-flat", left, right, controls=wrong)
    speeds = [5, 20, 100]
    found = [rope.whirling(mu) for mu in speeds]
    depths = [-r.y[-1] * mu for r, mu in zip(found, speeds, strict=True)]
    assert_allclose(depths, [1.38968, 1.38650, 1.386303], atol=6e-6)
    hook = found[-1].tension[0] / 100
    right = [2 * np.log(2), 0.5]
    wrong = {"all mass at the end": [1.0, 1.0]}
    claims.equal("eq-rope-flat", [depths[-1], hook], right, rtol=1e-4, controls=wrong)


def belly(solution):
    """Distance and height of the point farthest from the pole, between the points."""
    x = interpolate.CubicSpline(solution.s, solution.x)
    s = x.derivative().roots(extrapolate=False)
    s = s[np.argmax(x(s))]
    return [x(s), interpolate.CubicSpline(solution.s, solution.y)(s)]


def test_both_ends_on_the_pole():
    """eq-rope-two-ends: gravity pulls the belly down and in, as a chain confirms."""
    family = rope.troposkein_gravity(1.0, 1.5, 0.64, 32)
    bare = family[0]
    assert_allclose(bare.x, ROPE.y(np.clip(bare.y, 0, 1)), atol=1e-9)
    table = {0.1: (0.50780, 0.3956), 0.2: (0.48353, 0.2914), 0.3: (0.44112, 0.1878)}
    table |= {0.4: (0.37699, 0.0865), 0.5: (0.28484, -0.0116), 0.6: (0.15653, -0.1004)}
    for eps, expected in table.items():
        x, y = belly(family[round(eps / 0.02)])
        assert x == pytest.approx(expected[0], abs=6e-5)
        assert y == pytest.approx(expected[1], abs=3e-4)
    assert belly(family[-1])[0] == pytest.approx(0.0975, abs=1e-4)
    for eps, solution in [(0.2, family[10]), (0.5, family[25])]:
        height = interpolate.CubicSpline(solution.s, solution.y)
        along = solution.tension * height(solution.s, 1)
        slope, offset = np.polyfit(solution.s, along, 1)
        assert slope == pytest.approx(eps, abs=1e-4)
        assert np.abs(along - slope * solution.s - offset).max() < 1e-4
    assert (0.5 - belly(family[1])[1]) / 0.02 == pytest.approx(1.04, abs=0.01)
    z, y, *_ = rope.chain(1.0, 1.5, 96, eps=0.5)
    by_chain = [y.max(), z[y.argmax()]]
    wrong = {"no gravity": (belly(bare), by_chain)}
    claims.equal(
        "eq-rope-two-ends", belly(family[25]), by_chain, atol=0.01, controls=wrong
    )
    assert ROPE.amplitude / belly(family[25])[0] == pytest.approx(1.81, abs=0.01)
    with pytest.raises(RuntimeError, match="last good"):
        rope.troposkein_gravity(1.0, 1.5, 1.2, 4)


# a rope of 100 g and 2.6 m, the hands 0.6 m apart
G, MASS, SPAN, LENGTH = 9.81, 0.1, 0.6, 2.6


def test_snapshots_of_a_real_rope():
    """stmt-rope-turning-gravity: no change of shape to speak of, but of force."""
    speeds = 2 * np.pi * np.array([1.5, 2, 3])
    assert_allclose(G / speeds**2, [0.110, 0.062, 0.028], atol=6e-4)
    omega = speeds[1]
    shift, unit = G / omega**2, MASS / LENGTH * omega**2
    still = rope.Troposkein(SPAN, LENGTH)
    ropes = [rope.Troposkein(SPAN, LENGTH, d) for d in (shift, 0, -shift)]
    sags = np.array([r.amplitude for r in ropes])
    hands = np.array([unit * r.tension0 for r in ropes])
    assert_allclose(sags, [1.22272, 1.22326, 1.22388], atol=1e-5)
    assert_allclose(hands, [5.58, 5.09, 4.60], atol=0.01)
    shape = np.abs(sags / still.amplitude - 1).max()
    force = (hands[0] - hands[2]) / hands[2]
    assert force == pytest.approx(0.21, abs=0.005)
    pole = rope.troposkein_gravity(SPAN, LENGTH, shift / SPAN, 4)[-1]
    moved = abs(belly(pole)[1] - SPAN / 2) / still.amplitude
    wrong = {"steady, on a vertical pole": ([moved, 0.2], [1e-3, force])}
    claims.bound(
        "stmt-rope-turning-gravity", [shape, 0.2], [1e-3, force], controls=wrong
    )


def test_rope_as_a_pendulum():
    """stmt-rope-pendulum: turning freely it is slower at the top."""
    bottom, top, g, M, mean, square = sp.symbols("b t g M y r2", positive=True)
    kinetic = M * square / 2
    energy = sp.Eq(kinetic * bottom - M * g * mean, kinetic * top + M * g * mean)
    found = sp.solve(energy, bottom)[0] - top
    wrong = {"point mass": 4 * g / mean}
    right = 4 * g * mean / square
    claims.identity("stmt-rope-pendulum", found, right, controls=wrong)

    still = rope.Troposkein(SPAN, LENGTH)
    ybar, r2 = still.first_moment / LENGTH, still.inertia / LENGTH
    assert_allclose([ybar, r2], [0.6410, 0.5449], atol=6e-5)
    drop, point = 4 * G * ybar / r2, 4 * G / still.amplitude
    assert drop / point == pytest.approx(1.44, abs=0.005)
    assert np.sqrt(drop) / (2 * np.pi) == pytest.approx(1.081, abs=1e-3)
    middle = (2 * np.pi * np.array([1.5, 2, 3])) ** 2
    ratio = np.sqrt((middle + drop / 2) / (middle - drop / 2))
    assert_allclose(ratio, [1.30, 1.16, 1.07], atol=6e-3)

    # independently: the turning rope's equation of motion, from bottom to top
    def motion(t, state):
        return [state[1], -G * ybar / r2 * np.sin(state[0])]

    over = lambda t, state: state[0] - np.pi  # noqa: E731
    over.terminal = True
    found = integrate.solve_ivp(motion, (0, 9), [0, 10.0], events=over, rtol=1e-10)
    lost = 100 - found.y[1, -1] ** 2
    wrong = {"point mass at the belly": point}
    claims.equal("stmt-rope-pendulum", lost, drop, rtol=1e-7, controls=wrong)


def test_free_end_pulls_with_nothing():
    """eq-rope-free-end: an unconstrained chain finds this rope; C_1 is its weight."""
    found, chained, unloaded = [], [], []
    for hook, expected in [(0, (0.70064, 0.705456)), (0.5, (1.419096, 0.391873))]:
        flying = rope.whirling(2.0, hook)
        assert_allclose([flying.x[-1], -flying.y[-1]], expected, atol=1e-6)
        lam = flying.tension + flying.x**2 - flying.y  # mu = 2
        assert_allclose(lam, flying.x[-1] ** 2 - flying.y[-1], rtol=1e-9)
        height = interpolate.CubicSpline(flying.s, flying.y)
        x, y = rope.hanging_chain(2.0, hook, 96)
        found += [flying.x[-1], flying.y[-1], -flying.tension[0] * height(0, 1)]
        chained += [x[-1], y[-1], 1]
        unloaded += [x[-1], y[-1], 0]
        assert flying.tension[-1] == 0
    wrong = {"C_1 = 0": (unloaded, chained)}
    claims.equal("eq-rope-free-end", found, chained, atol=5e-5, controls=wrong)
    assert rope.whirling(2.0).tension[0] == pytest.approx(1.19635, abs=1e-5)
    assert rope.whirling(2.0, 0.5).tension[0] == pytest.approx(2.15571, abs=1e-5)


def test_gravity_shifts_the_axis():
    """eq-rope-shift: forces balance on each bead; the lowest rope is the shallowest."""
    y, g = sp.symbols("y g", real=True)
    w = sp.symbols("omega", positive=True)
    z = y - g / w**2
    shifted = w**2 * z**2 / 2 - g**2 / (2 * w**2)
    wrong = {"lowered": shifted.subs(g, -g)}
    claims.identity("eq-rope-shift", w**2 * y**2 / 2 - g * y, shifted, controls=wrong)
    table = {0.05: (0.51433, 0.2994, 0.51744, 0.2184)}
    table |= {0.1: (0.51321, 0.3399, 0.51967, 0.1778)}
    table |= {0.2: (0.51151, 0.4209, 0.52657, 0.0959)}
    force, weight, deeper = [], [], []
    for size, expected in table.items():
        low, top = (rope.Troposkein(1.0, 1.5, d) for d in (size, -size))
        found = [low.amplitude, low.tension0, top.amplitude, top.tension0]
        assert_allclose(found, expected, atol=6e-5)
        deeper.append((low.amplitude, ROPE.amplitude, top.amplitude))
        for curve in (low, top):
            points, ds = curve.points(2001), 1.5 / 2000
            middle = (points[1:] + points[:-1]) / 2
            pull = curve.tension(middle[:, 0])[:, None] * np.diff(points, axis=0) / ds
            assert_allclose(pull[:, 0], curve.tension_h, rtol=1e-5)
            outward = points[1:-1, 1] + curve.shift
            force.append(np.diff(pull[:, 1]) / ds + outward)
            weight.append(np.full(1999, curve.shift))
    wrong = {"no weight": weight}
    claims.equal("eq-rope-shift", force, np.zeros((6, 1999)), atol=1e-5, controls=wrong)
    low, still, top = np.transpose(deeper)
    wrong = {"gravity deepens the lowest rope": (still, low)}
    claims.bound("eq-rope-shift", [low, still], [still, top], controls=wrong)
    hanging = rope.catenary(1.0, 1.5)(0.5)[1]
    assert rope.Troposkein(1, 1.5, 1000).amplitude == pytest.approx(hanging, abs=1e-5)
    assert rope.Troposkein(1, 1.5, -0.2604).tension0 > 0


def test_branches_are_born_one_by_one():
    zeros = special.jn_zeros(0, 3) ** 2 / 4
    for mu in [1.2, 1.5, 3, 5, 8, 12, 20]:
        assert rope.whirling_roots(mu).size == np.searchsorted(zeros, mu)
    near = np.array([1.001, 1.004])
    ends = [rope.whirling_roots(zeros[0] * factor)[-1] for factor in near]
    assert np.log2(ends[1] / ends[0]) / 2 == pytest.approx(0.5, abs=0.01)
    assert ends[0] == pytest.approx(1.464 * np.sqrt(0.001), rel=0.01)
    assert rope.whirling(1, end=1e-4).x[0] / 1e-4 == pytest.approx(
        special.j0(2), abs=1e-6
    )


def test_variable_density_moves_the_curve():
    """A rope that grows heavier is another curve; the same code, uniform, is not."""
    shot = rope.troposkein_shoot(1.0, 1.5, lambda s: 1 + s / 1.5)
    assert error(shot.x, shot.y) == pytest.approx(0.022, abs=5e-4)
    assert shot.x[shot.y.argmax()] == pytest.approx(0.523, abs=3e-3)
    assert error(
        *(lambda r: (r.x, r.y))(rope.troposkein_shoot(1, 1.5, lambda s: 2))
    ) < (1e-9)


def test_chain_modes_of_the_hanging_rope():
    n = 80
    rod = 1 / n
    below = rod * (n - np.arange(n) - 0.5)  # what hangs below the middle of each rod
    down = rod * np.tri(n)
    mass = rod / 6 * (4 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1))
    mass[-1, -1] /= 2
    inertia = down.T @ mass @ down
    found = linalg.eigh(np.diag(rod * below), inertia, eigvals_only=True)[:3]
    assert_allclose(found, [1.445810, 7.6203, 18.748], rtol=3e-5)
    assert_allclose(found, special.jn_zeros(0, 3) ** 2 / 4, rtol=2e-3)


def test_chain_hangs_as_the_rope_does():
    whole = rope.whirling(2.0)
    for hook, sizes in [(0.0, (16, 32, 64)), (0.5, (16, 32))]:
        whole, errors = rope.whirling(2.0, hook), []
        for n in sizes:
            x, y = rope.hanging_chain(2.0, hook, n)
            s = np.linspace(0, 1, n + 1)
            errors.append(np.abs(np.interp(s, whole.s, whole.x) - x).max())
            assert np.abs(np.interp(s, whole.s, whole.y) - y).max() < 5e-4
        assert errors[0] < 4e-4
        assert errors[-1] < errors[0] / 3


@pytest.mark.parametrize("ratio", [1 + 1e-6, 1.2, 4, 50, 1e6])
def test_modulus_against_mpmath(ratio):
    m, m1 = rope.modulus(ratio)
    with mpmath.workdps(40):
        parameter = 1 - mpmath.mpf(m1) if m > 0.5 else mpmath.mpf(m)
        K, E = mpmath.ellipk(parameter), mpmath.ellipe(parameter)
        found = 2 * E / ((1 - parameter) * K) - 1
    assert float(found) - 1 == pytest.approx(ratio - 1, rel=1e-9)


@pytest.mark.parametrize("ratio", [1.05, 1.5, 4.0])
def test_curve_against_mpmath(ratio):
    curve = rope.Troposkein(1.0, ratio)
    for x in [0.1, 0.37, 0.5, 0.9]:
        u = 2 * curve.k * x / (curve.amplitude * curve._loop[1])
        sn = mpmath.ellipfun("sn", u=u, m=curve.m)
        assert float(curve.y(x)) == pytest.approx(
            float(curve.amplitude * sn), abs=1e-13 * ratio
        )


@given(ratios, st.floats(0.1, 10), st.floats(-0.2, 2))
@settings(max_examples=15, deadline=None)
def test_shape_scales_and_closes(ratio, size, shift):
    unit = rope.Troposkein(1.0, ratio)
    shift = shift * unit.amplitude
    unit = rope.Troposkein(1.0, ratio, shift)
    scaled = rope.Troposkein(size, size * ratio, size * shift)
    x = np.linspace(0, 1, 31)
    assert_allclose(scaled.y(size * x), size * unit.y(x), atol=1e-8 * size * ratio)
    assert_allclose(unit.y([0, 1]), 0, atol=1e-9 * (ratio + abs(shift)))
    assert_allclose(unit.arclength([0, 1]), [0, ratio], atol=1e-8 * ratio)
    assert (np.diff(unit.arclength(x)) > 0).all()
    points = unit.points(801)
    polygon = np.hypot(*np.diff(points, axis=0).T)
    assert polygon.sum() == pytest.approx(ratio, rel=1e-2)
    y = points[:, 1]
    direct = polygon @ (y[:-1] ** 2 + y[:-1] * y[1:] + y[1:] ** 2) / 3
    assert unit.inertia == pytest.approx(direct, rel=2e-2)
    first = polygon @ (y[:-1] + y[1:]) / 2
    assert unit.first_moment == pytest.approx(first, rel=2e-2)


@given(ratios)
@settings(max_examples=20, deadline=None)
def test_impostors_have_their_length(ratio):
    for make in [rope.catenary, rope.parabola, rope.sine_arch, rope.arc, rope.triangle]:
        x, y = make(2.0, 2 * ratio)(np.linspace(0, 1, 40_001))
        length = np.hypot(np.diff(x), np.diff(y)).sum()
        assert length == pytest.approx(2 * ratio, rel=1e-5)
        assert_allclose([x[0], x[-1], y[0], y[-1]], [0, 2, 0, 0], atol=1e-9 * ratio)
        assert (
            rope.inertia(make(2.0, 2 * ratio)) < rope.Troposkein(2, 2 * ratio).inertia
        )


def test_torch_chain_with_gravity_agrees():
    one = rope.chain(1.0, 1.5, 24, eps=0.2)
    two = rope.chain(1.0, 1.5, 24, eps=0.2, solver="torch", generator=generator(0))
    for a, b in zip(one, two, strict=True):
        assert_allclose(a, b, atol=2e-5)


def test_arc_length_where_scipy_slips():
    """SciPy's `ellipeinc` is a tenth off at the amplitude that belongs to 13/64."""
    x = np.array([0.203125, 0.203125 + 1e-12])
    assert np.diff(ROPE.arclength(x)) < 1e-11


def test_tension_has_units():
    assert ROPE.tension(0.0, 2, 3) == pytest.approx(18 * ROPE.tension0)
    assert ROPE.tension(0.5) / ROPE.tension0 == pytest.approx(0.486, abs=5e-4)


BAD = {
    "ratio must be from": lambda: rope.modulus(1.0),
    "length must be from": lambda: rope.Troposkein(1.0, 0.9),
    "span must be a positive number, got -1": lambda: rope.Troposkein(-1.0, 0.9),
    "shift must be above -0.260456": lambda: rope.Troposkein(1.0, 1.5, -0.27),
    "shift must be at most": lambda: rope.Troposkein(1.0, 1.5, np.nan),
    r"x must lie in \[0, 1.0\]": lambda: ROPE.y([0.5, 1.1]),
    "n must be a whole number": lambda: ROPE.points(1),
    "omega must be a positive": lambda: ROPE.tension(0.5, 1.0, 0.0),
    "rho must be a positive": lambda: rope.troposkein_shoot(1.0, 1.5, -1.0),
    "expected eps >= 0": lambda: rope.troposkein_gravity(1.0, 1.5, -0.1),
    "mu must be a positive": lambda: rope.whirling(-1.0),
    "hook must not be negative": lambda: rope.whirling_roots(1.0, -0.5),
    "solver must be": lambda: rope.chain(1.0, 1.5, 8, solver="newton"),
    "n must be a whole number of": lambda: rope.hanging_chain(1.0, 0.0, 1),
    r"x must be at least beta\^\(-1/2\) = 0.5": lambda: rope.strut(0.4, 4.0),
    "beta must be": lambda: rope.strut(2.0, 0.0),
    "length must be from 1": lambda: rope.catenary(1.0, 1.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()


def test_slow_rope_stays_on_the_axis():
    with pytest.raises(RuntimeError, match=r"below 1\.445796"):
        rope.whirling(1.2)
