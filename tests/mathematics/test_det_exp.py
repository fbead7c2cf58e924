"""Determinants of exponentials: claims that are not on the page, parity, bad input."""

import math

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import linalg
from scipy.integrate import quad, solve_ivp

from kexue import claims
from kexue.mathematics import det_exp as de
from kexue.randomness import generator, rng, seeded

expm = torch.linalg.matrix_exp


def gauss(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def residual(left, right):
    """Frobenius distance of each pair of matrices, relative to the right one."""
    return (left - right).norm(dim=(-2, -1)) / right.norm(dim=(-2, -1))


def spectral_radius(A):
    return torch.linalg.eigvals(A).abs().amax(-1)


# -- what exp(A) is -----------------------------------------------------------------


def test_taylor_remainder():
    """eq-det-exp-taylor: the remainder bound holds, and needs its factor e^||A||."""
    g, error, bound, short = generator(0), [], [], []
    for draw in range(200):
        n = 2 + draw % 5
        A = 2 * torch.randn(n, n, generator=g, dtype=torch.float64) / math.sqrt(n)
        norm = torch.linalg.matrix_norm(A, 2)
        for order in (2, 4, 6, 8):
            gap = torch.linalg.matrix_norm(expm(A) - de.expm_series(A, order), 2)
            first = norm ** (order + 1) / math.factorial(order + 1)
            error.append(gap)
            short.append(first)
            bound.append(first * norm.exp())
    error, bound, short = map(torch.stack, (error, bound, short))
    wrong = {"without e^||A||": short}
    claims.bound("eq-det-exp-taylor", error, bound, controls=wrong)


def test_taylor_cancels_in_the_left_half_plane():
    """The series converges and is useless: at s = 30 its terms cancel to noise."""
    for size, limits in [(5, (0, 1e-12)), (30, (1.0, np.inf))]:
        P = torch.tensor([[1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
        L = torch.diag(torch.tensor([-size, -size / 2], dtype=torch.float64))
        A = P @ L @ torch.linalg.inv(P)
        error = residual(de.expm_series(A, 300), expm(A)).item()
        assert limits[0] <= error <= limits[1]


def test_linear_differential_equation():
    """eq-det-exp-ode: e^{tA} x_0 solves x' = Ax; x_0' e^{tA} is another vector."""
    g, found, exact, rows = generator(0), [], [], []
    for _ in range(20):
        A = torch.randn(5, 5, generator=g, dtype=torch.float64)
        x0 = torch.randn(5, generator=g, dtype=torch.float64)
        path = solve_ivp(
            lambda t, x, A=A: A.numpy() @ x, (0, 2), x0, rtol=1e-11, atol=1e-13
        )
        flow = expm(2 * A)
        scale = (flow @ x0).norm()
        found.append(torch.from_numpy(path.y[:, -1]) / scale)
        exact.append(flow @ x0 / scale)
        rows.append(x0 @ flow / scale)
    found, exact, rows = map(torch.stack, (found, exact, rows))
    wrong = {"row vector": rows}
    claims.equal("eq-det-exp-ode", found, exact, atol=1e-9, controls=wrong)


def test_series_is_its_own_derivative():
    """d/dt S_N(tA) = A S_{N-1}(tA): the series solves the equation term by term."""
    t = sp.symbols("t")
    A = sp.Matrix(2, 2, sp.symbols("a:d"))

    def series(order):
        total = term = sp.eye(2)
        for k in range(1, order + 1):
            term = (term * A * t / k).applyfunc(sp.expand)
            total += term
        return total

    assert (series(6).diff(t) - A * series(5)).applyfunc(sp.expand) == sp.zeros(2)


def test_diagonalisation():
    """eq-det-exp-diagonalise: powers and exponential through the eigenvalues; for a
    defective matrix the same formula fails."""
    p, eigenvalues = sp.Matrix(2, 2, sp.symbols("p:4")), sp.symbols("x y")
    A = (p * sp.diag(*eigenvalues) * p.inv()).applyfunc(sp.cancel)
    for n in (2, 3, 4):
        power = p * sp.diag(*(x**n for x in eigenvalues)) * p.inv()
        assert (A**n - power).applyfunc(sp.cancel) == sp.zeros(2)

    def by_eigenvalues(A):
        values, vectors = torch.linalg.eig(A)
        return (vectors * values.exp()[..., None, :]) @ torch.linalg.inv(vectors)

    A = gauss(50, 5, 5)
    left = by_eigenvalues(A)
    scale = expm(A).norm(dim=(-2, -1))[:, None, None]
    jordan = torch.diag(torch.ones(5, dtype=torch.float64), 1)
    Q = torch.linalg.qr(gauss(6, 6, seed=1)).Q
    defective = Q @ (jordan + torch.eye(6)) @ Q.T
    pair = by_eigenvalues(defective), expm(defective) + 0j
    claims.equal(
        "eq-det-exp-diagonalise",
        left / scale,
        (expm(A) + 0j) / scale,
        atol=1e-11,
        controls={"defective matrix": pair},
    )


def test_inverse():
    """eq-det-exp-inverse: e^A e^{-A} = I, so exp(A) is never singular."""
    A = gauss(100, 5, 5)
    scale = (expm(A).norm(dim=(-2, -1)) * expm(-A).norm(dim=(-2, -1)))[:, None, None]
    eye = torch.eye(5, dtype=torch.float64)
    claims.equal(
        "eq-det-exp-inverse",
        (expm(A) @ expm(-A) - eye) / scale,
        torch.zeros_like(A),
        atol=1e-13,
        controls={
            "transpose of A": (expm(A) @ expm(A.mT) - eye, torch.zeros_like(A)),
            "elementwise": (torch.linalg.det(torch.zeros(5, 5).exp()), 1.0),
        },
    )


def test_addition_theorem_of_the_sine():
    """eq-det-exp-sin-add: holds for commuting matrices, fails for others."""

    def sine(A):
        return expm(1j * A).imag

    def cosine(A):
        return expm(1j * A).real

    A, stranger = gauss(20, 4, 4) / 2, gauss(20, 4, 4, seed=1) / 2
    B = 0.5 * A @ A - A + torch.eye(4)

    def both(A, B):
        return sine(A + B), sine(A) @ cosine(B) + cosine(A) @ sine(B)

    left, right = both(A, B)
    scale = 1 + right.abs().amax((-2, -1), keepdim=True)
    claims.equal(
        "eq-det-exp-sin-add",
        left / scale,
        right / scale,
        atol=1e-12,
        controls={"B does not commute with A": both(A, stranger)},
    )
    one = sine(A) @ sine(A) + cosine(A) @ cosine(A)
    assert_allclose(one, torch.eye(4).expand_as(A), atol=1e-10)


# -- logarithms ---------------------------------------------------------------------


def test_logarithm_series():
    """eq-det-exp-log-series: the spectral radius decides, not the norm."""
    far = torch.tensor([[0.5, 100.0], [0.0, 0.5]], dtype=torch.float64)
    nilpotent = torch.tensor([[0.0, 1000.0], [0.0, 0.0]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    A = torch.stack([far, nilpotent])

    def divergent(order):
        """The plain partial sum for a rotation, stretched to a radius of 1.1."""
        c, s = 1.1 * math.cos(2), 1.1 * math.sin(2)
        power = B = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        total = torch.zeros_like(B)
        for k in range(1, order + 1):
            total, power = total - (-1) ** k / k * power, power @ B
        return total, B

    sums = [divergent(order)[0].norm().item() for order in (50, 100, 200)]
    assert sums[0] < sums[1] / 10 < sums[2] / 1000
    total, B = divergent(100)
    claims.equal(
        "eq-det-exp-log-series",
        expm(de.logm_series(A, 200)),
        eye + A,
        rtol=1e-11,
        atol=1e-11,
        controls={"radius 1.1": (expm(total), eye + B)},
    )


def test_logarithm_series_on_the_unit_circle():
    """Converges slowly at an eigenvalue i; not at -1, nor at a longer Jordan block."""
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    gap = expm(de.logm_series(quarter, 4000)) - eye - quarter
    assert gap.abs().max() < 1e-3
    for diverges in (-eye, eye + quarter.triu()):
        half, whole = (de.logm_series(diverges, order) for order in (1999, 4000))
        assert (half - whole).abs().max() > 0.1


def test_exponential_of_the_logarithm():
    """eq-det-exp-exp-log: e^{ln(I+A)} = I + A, and ln acts on the eigenvalues."""
    A = gauss(50, 4, 4)
    A = 0.7 * A / spectral_radius(A)[:, None, None]
    eye = torch.eye(4, dtype=torch.float64)
    log = de.logm_series(A, 200)
    values, P = torch.linalg.eig(A)

    def by_eigenvalues(values):
        return (P * values[:, None, :]) @ torch.linalg.inv(P)

    claims.equal(
        "eq-det-exp-exp-log",
        torch.cat([expm(log) + 0j, log + 0j]),
        torch.cat([eye + A + 0j, by_eigenvalues(values.log1p())]),
        atol=1e-11,
        controls={
            # the printed form has the square inside the logarithm on one side only
            "eigenvalues squared": (log + 0j, by_eigenvalues((values**2).log1p())),
        },
    )


def test_logarithms_of_a_rotation():
    """stmt-det-exp-log-branches: (alpha + 2 pi k) J is one for every k."""
    alpha = rng(0).uniform(-3, 3, 20)
    turn = 2 * np.pi * np.arange(-2, 3)
    J = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)

    def logarithms(shift):
        angle = torch.from_numpy(alpha[:, None] + turn + shift)
        return angle[..., None, None] * J

    c, s = np.cos(alpha), np.sin(alpha)
    rotation = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    rotation = np.broadcast_to(rotation[:, None], (20, 5, 2, 2))
    claims.equal(
        "stmt-det-exp-log-branches",
        expm(logarithms(0)),
        rotation,
        atol=1e-12,
        controls={"half a turn more": (expm(logarithms(np.pi)), rotation)},
    )


# -- the proof by density -----------------------------------------------------------


def test_density_of_diagonalisable_matrices():
    """stmt-det-exp-density: dense over C; over R a whole ball has no real eigenvalue,
    and a real Gaussian matrix has only real ones with probability 2^(-n(n-1)/4)."""
    jordan = torch.diag(torch.ones(3, dtype=torch.float64), 1)
    noise = gauss(500, 4, 4, dtype=torch.complex128)
    near = jordan + 1e-3 * noise / noise.norm(dim=(-2, -1), keepdim=True)
    values = torch.linalg.eigvals(near)
    gaps = (values[:, :, None] - values[:, None]).abs() + torch.eye(4)
    assert gaps.amin() > 1e-9

    J = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    E = gauss(20_000, 2, 2, seed=1)
    E = 0.999 * E / torch.linalg.matrix_norm(E, 2)[:, None, None]
    assert (torch.linalg.eigvals(J + E).imag != 0).all()
    assert (torch.linalg.eigvals(J - J).imag == 0).all()  # reached at norm 1

    # LAPACK gives exact zeros to real eigenvalues: no tolerance
    real = np.stack(
        [
            (np.linalg.eigvals(rng(n).normal(size=(20_000, n, n))).imag == 0).all(1)
            for n in (2, 3, 4, 5)
        ],
        axis=1,
    ).astype(float)
    n = np.arange(2, 6)
    claims.estimate(
        "stmt-det-exp-density",
        real,
        2.0 ** (-n * (n - 1) / 4),
        controls={"2^(-(n-1)/2)": 2.0 ** (-(n - 1) / 2)},
    )


def test_density_is_no_algorithm():
    """Separating a Jordan block's eigenvalues by eps costs accuracy on both sides."""
    jordan = np.diag(np.ones(2), 1) + np.eye(3)

    def eigen_error(eps):
        values, P = np.linalg.eig(jordan + eps * np.diag([0, 1, 2]))
        found = (P * np.exp(values)) @ np.linalg.inv(P)
        exact = linalg.expm(jordan)
        return np.linalg.norm(found - exact) / np.linalg.norm(exact)

    errors = [eigen_error(eps) for eps in (1e-2, 1e-6, 1e-8)]
    assert errors[1] < 1e-4 < errors[0]
    assert errors[1] < errors[2] / 100
    trace = np.trace(jordan + 1e-3 * np.diag([0, 1, 2])) - np.trace(jordan)
    assert_allclose(trace, 3e-3, atol=1e-15)


# -- flows and estimators -----------------------------------------------------------


def test_liouville():
    """eq-det-exp-liouville: the determinant is the exponential of the integrated trace,
    though the solution is not the exponential of the integral."""

    def field(t):
        rows = [[math.sin(t), 1, t], [t**2, 0.5, -1], [0.3, math.cos(2 * t), -t / 2]]
        return torch.tensor(rows, dtype=torch.float64)

    X, integral = de.liouville(field, 0.0, 1.5, 2000)
    entries = [
        quad(lambda t, i=i: field(t).flatten()[i].item(), 0, 1.5)[0] for i in range(9)
    ]
    naive = expm(torch.tensor(entries, dtype=torch.float64).reshape(3, 3))
    assert_allclose(torch.logdet(naive), integral, atol=1e-10)
    claims.equal(
        "eq-det-exp-liouville",
        torch.logdet(X),
        integral,
        atol=1e-10,
        controls={
            "exp of the integral, as a matrix": (naive, X),
            "trace at the end": 1.5 * de.logdet_exp(field(1.5)),
        },
    )


@pytest.mark.parametrize("dist", ["gaussian", "rademacher", "sphere"])
def test_hutchinson(dist):
    """stmt-det-exp-hutchinson: v'Av has mean tr A and the stated variance, which only
    the symmetric part of A enters."""
    n = 20
    A = gauss(n, n)
    A = A - A.T + 0.3 * gauss(n, n, seed=1)  # mostly skew, so that symmetry matters
    v = de.probes(100_000, n, dist, generator(2), dtype=torch.float64)
    forms = torch.einsum("bi,ij,bj->b", v, A, v)
    trace, variance = de.logdet_exp(A), de.hutchinson_variance(A, dist)
    draws = torch.stack([forms, (forms - trace) ** 2], dim=1)
    cube = 2 * torch.rand(100_000, n, generator=generator(3), dtype=A.dtype) - 1
    # what the formulas give when S is not taken first
    unsymmetric = {
        "gaussian": 2 * A.square().sum(),
        "rademacher": 2 * (A.square().sum() - A.diagonal().square().sum()),
        "sphere": 2 * n / (n + 2) * (A.square().sum() - trace**2 / n),
    }[dist]
    shifted = A + torch.eye(n)
    uniform = torch.einsum("bi,ij,bj->b", cube, shifted, cube)
    claims.estimate(
        "stmt-det-exp-hutchinson",
        draws,
        torch.stack([trace, variance]),
        controls={
            "A for its symmetric part": torch.stack([trace, unsymmetric]),
            "uniform(-1, 1) probes": (uniform, de.logdet_exp(shifted)),
        },
    )


def test_roulette():
    """stmt-det-exp-roulette: a randomly stopped, reweighted series has no bias."""
    n = 10
    J = gauss(n, n)
    J = 0.8 * J / torch.linalg.matrix_norm(J, 2)
    exact = torch.logdet(torch.eye(n, dtype=J.dtype) + J)
    z = []
    for p in (0.5, 0.3, 0.1):
        found, error = de.logdet_roulette(
            lambda v: v @ J.T, n, 100_000, p, generator(1), dtype=J.dtype
        )
        z.append((found - exact) / error)
    v = de.probes(100_000, n, generator=generator(2), dtype=J.dtype)
    cut = torch.einsum("bi,ij,bj->b", v, de.logm_series(J, 1), v)
    z_cut = (cut.mean() - exact) / (cut.std() / math.sqrt(len(v)))
    claims.bound(
        "stmt-det-exp-roulette",
        torch.stack(z).abs(),
        4.0,
        controls={"always one term": (z_cut.abs(), 6.0)},
    )


# -- what the page says in passing --------------------------------------------------


def test_commutators_span_the_traceless_matrices():
    """So the trace is, up to a factor, the only linear function blind to order."""
    for n in (2, 3, 4):
        units = np.eye(n * n, dtype=int).reshape(-1, n, n)
        rows = [(A @ B - B @ A).ravel().tolist() for A in units for B in units]
        assert sp.Matrix(rows).rank() == n * n - 1


def test_logarithm_of_positive_definite_determinants():
    """No branches: log det = tr log, without a condition."""
    X = gauss(100, 4, 4)
    B = X @ X.mT + 0.1 * torch.eye(4)
    traces = [np.trace(linalg.logm(matrix)) for matrix in B.numpy()]
    assert_allclose(np.imag(traces), 0, atol=1e-12)
    assert_allclose(torch.logdet(B), np.real(traces), atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_left_side_is_lost(dtype):
    """Beyond e^(2s) = 1/eps errors of order 1 set in, and the sign becomes a coin."""
    limit = math.log(1 / torch.finfo(dtype).eps) / 2
    Q = torch.linalg.qr(gauss(200, 8, 8)).Q

    def left_side(s):
        eigenvalues = torch.linspace(-s, s, 8, dtype=torch.float64) + 0.1
        A = ((Q * eigenvalues) @ Q.mT).to(dtype)
        sign, found = torch.linalg.slogdet(expm(A))
        return sign, (found.double() - 0.8).abs(), (de.logdet_exp(A) - 0.8).abs()

    _, before, _ = left_side(limit - 3)
    sign, after, exact = left_side(limit + 4)
    assert before.max() < 0.01
    assert after.median() > 1
    assert 0.2 < (sign < 0).double().mean() < 0.8
    assert exact.max() < 1000 * torch.finfo(dtype).eps


# -- beyond the article -------------------------------------------------------------


def test_traceless_matrices_go_to_volume_preserving_ones():
    A = gauss(20, 6, 6)
    A = A - de.logdet_exp(A)[:, None, None] / 6 * torch.eye(6, dtype=A.dtype)
    assert_allclose(torch.linalg.det(expm(A)), 1, atol=1e-11)
    turn = expm(A - A.mT)
    assert_allclose(turn @ turn.mT, torch.eye(6).expand(20, 6, 6), atol=1e-12)


def test_golden_thompson():
    """The trace sees the order that the determinant forgets."""
    A, B = gauss(2, 300, 4, 4)
    A, B = A + A.mT, B + B.mT
    joint = de.logdet_exp(expm(A + B)) / de.logdet_exp(expm(A) @ expm(B))
    assert joint.max() < 1
    alike = de.logdet_exp(expm(3 * A)) / de.logdet_exp(expm(A) @ expm(2 * A))
    assert_allclose(alike, 1, rtol=1e-10)


def test_gradient_of_the_left_side():
    """d log det exp(A) / dA = I."""
    A = gauss(5, 5).requires_grad_()
    torch.linalg.slogdet(expm(A)).logabsdet.backward()
    assert_allclose(A.grad, torch.eye(5), atol=1e-10)


# -- the functions ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_closed_form_against_torch(dtype):
    A = 2 * gauss(200, 2, 2, dtype=dtype)
    A[:20] = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    A[:20, 1, 0] = torch.logspace(-16, -4, 20)  # towards a Jordan block
    A[20:40] = A[20:40] - A[20:40].mT  # rotations
    found = de.expm_2x2(A)
    assert found.dtype == dtype
    assert residual(found, expm(A)).max() < 1e-12


def test_closed_form_does_not_overflow_early():
    A = torch.tensor([[0.0, 0.0], [0.0, -2000.0]], dtype=torch.float64)
    assert_allclose(de.expm_2x2(A), [[1, 0], [0, 0]], atol=1e-15)


@pytest.mark.parametrize("corner", [0.7, 0.0, -0.7])  # hyperbolic, defective, turning
def test_gradients(corner):
    A = torch.tensor([[0.3, 1.0], [corner, 0.3]], dtype=torch.float64)
    A.requires_grad_()
    functions = [
        de.logdet_exp,
        de.expm_2x2,
        de.elementary_symmetric,
        lambda A: de.det_perturbation(A, 0.3, 1),
        lambda A: de.expm_series(A, 6),
        lambda A: de.logdet_series(A / 2, 6),
    ]
    for function in functions:
        assert torch.autograd.gradcheck(function, A)


sizes = st.integers(1, 6)
seeds = st.integers(0, 1000)


@settings(deadline=None)
@given(sizes, seeds, st.sampled_from([torch.float64, torch.complex128]))
def test_symmetric_polynomials_against_eigenvalues(n, seed, dtype):
    A = gauss(3, n, n, seed=seed, dtype=dtype)
    found = de.elementary_symmetric(A)
    assert (found.dtype, found.shape) == (dtype, (3, n + 1))
    for matrix, coefficients in zip(A, found, strict=True):
        polynomial = np.poly(np.linalg.eigvals(-matrix.numpy()))
        assert_allclose(coefficients, polynomial, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(sizes, seeds, st.floats(-2, 2))
def test_the_last_order_is_the_determinant(n, seed, eps):
    A = gauss(n, n, seed=seed)
    exact = torch.linalg.det(torch.eye(n, dtype=A.dtype) + eps * A)
    assert_allclose(de.det_perturbation(A, eps), exact, rtol=1e-9, atol=1e-9)
    assert de.det_perturbation(A, eps, 0) == 1


@settings(deadline=None)
@given(st.floats(0, 0.95), st.integers(1, 20), st.integers(0, 12))
def test_series_bound_is_attained(lipschitz, n, order):
    J = -lipschitz * torch.eye(n, dtype=torch.float64)
    gap = n * math.log1p(-lipschitz) - de.logdet_series(J, order).item()
    assert_allclose(
        de.logdet_series_bound(lipschitz, n, order), abs(gap), rtol=1e-9, atol=1e-12
    )


@settings(deadline=None)
@given(sizes, seeds)
def test_layer_is_inverted(n, seed):
    layer = de.ExpLinear(n, dtype=torch.float64)
    with torch.no_grad():
        layer.A.copy_(gauss(n, n, seed=seed))
    x = gauss(4, n, seed=seed + 1)
    z, logdet = layer(x)
    assert_allclose(layer.inverse(z).detach(), x, atol=1e-9)
    jacobian = torch.func.jacrev(lambda x: layer(x)[0])(x[0])
    assert_allclose(torch.logdet(jacobian).item(), logdet.item(), atol=1e-9)
    assert f"n={n}" in repr(layer)


def field():
    with seeded(0):
        return torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
        ).double()


def test_divergence_is_the_trace_of_the_jacobian():
    f, x = field(), gauss(5, 3)
    jacobians = torch.func.vmap(torch.func.jacrev(f))(x)
    exact = de.divergence(f, x)
    assert_allclose(exact.detach(), de.logdet_exp(jacobians).detach(), atol=1e-12)
    many = x.repeat(20_000, 1)
    draws = de.divergence(f, many, exact=False, generator=generator(1)).reshape(-1, 5)
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - exact).abs() < 5 * error).all()
    assert (draws.var(0) / de.hutchinson_variance(jacobians) - 1).abs().max() < 0.1


def test_divergence_trains_a_field():
    f, x = field(), gauss(5, 3).requires_grad_()
    de.flow_logdet(f, x, 1.0, 2)[1].sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in f[:2].parameters())


def test_flow_returns():
    f, x = field(), gauss(5, 3)
    there, gained = de.flow_logdet(f, x, 1.0, 50)
    back, lost = de.flow_logdet(f, there, -1.0, 50)
    assert_allclose(back.detach(), x, atol=1e-7)
    assert_allclose(lost.detach(), -gained.detach(), atol=1e-7)


def test_dtype_is_kept():
    A = torch.eye(2, dtype=torch.float32) / 4
    results = [
        de.logdet_exp(A),
        de.expm_2x2(A),
        de.expm_series(A, 3),
        de.logdet_series(A, 3),
        de.elementary_symmetric(A),
        de.hutchinson_variance(A),
        de.liouville(lambda t: A, 0.0, 1.0, 2)[1],
        de.flow_logdet(torch.sin, A, 1.0, 2)[1],
        de.divergence(torch.sin, A, exact=False),
        de.ExpLinear(2)(A)[0],
    ]
    assert {result.dtype for result in results} == {torch.float32}


eye = torch.eye(3)
bad = {
    "A must have shape": lambda: de.logdet_exp(torch.ones(2, 3)),
    "A must have shape \\(..., n, n\\), got \\(3,\\)": lambda: de.expm_series(
        eye[0], 2
    ),
    "A must have shape \\(..., 2, 2\\)": lambda: de.expm_2x2(eye),
    "order must be at least 0, got -1": lambda: de.expm_series(eye, -1),
    "spectral radius of at most 1, got 2": lambda: de.logm_series(2 * eye, 5),
    "order must lie between 0 and n = 3, got 4": lambda: de.det_perturbation(eye, 1, 4),
    "lipschitz must lie in": lambda: de.logdet_series_bound(1.0, 3, 4),
    "n must be at least 1": lambda: de.logdet_series_bound(0.5, 0, 4),
    "dist must be .*'cauchy'": lambda: de.probes(2, 3, "cauchy"),
    "dist must be .*'normal'": lambda: de.hutchinson_variance(eye, "normal"),
    "num must be at least 2": lambda: de.hutchinson_trace(lambda v: v, 3, 1),
    "matvec must keep the shape": lambda: de.hutchinson_trace(lambda v: v.T, 3, 5),
    "p must lie strictly": lambda: de.logdet_roulette(lambda v: v, 3, 5, 1.0),
    "steps must be at least 1": lambda: de.liouville(lambda t: eye, 0, 1, 0),
    r"A_fn\(t\) must have shape": lambda: de.liouville(lambda t: eye[:2], 0, 1, 5),
    "x must have shape": lambda: de.divergence(torch.sin, eye[0]),
    "f must keep the shape": lambda: de.divergence(lambda x: x[:, :1], eye),
    "x must have shape .*2": lambda: de.ExpLinear(2)(eye),
    "z must have shape .*2": lambda: de.ExpLinear(2).inverse(eye),
}


@pytest.mark.parametrize("message", bad)
def test_bad_values(message):
    with pytest.raises(ValueError, match=message):
        bad[message]()


def test_bad_types():
    with pytest.raises(TypeError, match=r"A must be .* got torch.int64"):
        de.logdet_exp(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"A must be .* got list"):
        de.elementary_symmetric([[1.0]])
    with pytest.raises(TypeError, match="A must be real"):
        de.hutchinson_variance(eye + 0j)
