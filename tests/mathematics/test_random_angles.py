"""The laws of random angles: claims that are not on the page, parity, bad input."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import special, stats

from kexue import claims
from kexue.mathematics import random_angles as ra
from kexue.randomness import rng

dimensions = st.floats(2, 2000)


def test_mean_is_a_right_angle():
    """eq-angles-mean: by symmetry; angles between lines, folded, have another mean."""
    theta, half = sp.symbols("theta", positive=True), sp.pi / 2

    def mean(f, n):
        weight = sp.sin(theta) ** (n - 2)
        whole = sp.integrate(weight, (theta, 0, sp.pi))
        return sp.integrate(f * weight, (theta, 0, sp.pi)) / whole

    found = sp.Matrix([mean(theta, n) for n in range(2, 7)])
    folded = sp.Min(theta, sp.pi - theta)
    lines = 2 * sp.integrate(theta * sp.sin(theta), (theta, 0, half)) / 2
    assert mean(folded.rewrite(sp.Piecewise), 3) == lines == 1
    wrong = {"angles between lines": sp.Matrix([lines] * 5)}
    claims.identity("eq-angles-mean", found, sp.Matrix([half] * 5), controls=wrong)


def test_table_of_the_article():
    """stmt-angles-table: every digit printed there, which its own estimate misses."""
    table = {3: "0.467401", 10: "0.110661", 20: "0.0525832", 50: "0.0204053"}
    table |= {100: "0.0101007", 200: "0.00502508", 1000: "0.001001"}

    def rounded(variance):
        return [
            float(f"{v:.{len(text.lstrip('0.'))}g}")
            for v, text in zip(variance, table.values(), strict=True)
        ]

    n = np.array(list(table))
    printed = [float(text) for text in table.values()]
    wrong = {"Laplace": rounded(1 / (n - 2))}
    claims.equal("stmt-angles-table", rounded(ra.angle_var(n)), printed, controls=wrong)


def test_moment_generating_function():
    """eq-angles-subgaussian: exp(lambda^2 / 2n) bounds it, and 1/(n+1) does not."""
    scale, n = np.meshgrid(np.geomspace(1e-3, 30, 60), [2, 3, 5, 10, 50, 200])
    order = n / 2 - 1
    # Gamma(n/2) (2/lambda)^(n/2-1) I_(n/2-1)(lambda) as a hypergeometric series, summed
    # here since scipy's hyp0f1 loses four digits, more than the bound leaves
    k = np.arange(150)[:, None, None]
    terms = np.cumprod(scale**2 / 4 / ((n / 2 + k) * (k + 1)), axis=0)
    exact = 1 + terms.sum(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        bessel = special.gamma(n / 2) * (2 / scale) ** order * special.iv(order, scale)
    finite = np.isfinite(bessel) & (special.iv(order, scale) > 1e-280)
    assert_allclose(bessel[finite], exact[finite], rtol=1e-9)
    assert finite.sum() > 200
    wrong = {"1/(n+1)": np.exp(scale**2 / (2 * (n + 1)))}
    bound = np.exp(scale**2 / (2 * n))
    claims.bound("eq-angles-subgaussian", exact, bound, controls=wrong)


def test_three_angles_depend_on_each_other():
    """stmt-angles-pairwise: uncorrelated two by two, but E cos cos cos = 1 / n^2."""
    n = 5
    x, y, z = rng(0).normal(size=(3, 200_000, n))
    x, y, z = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y, z))
    xy, yz, zx = np.sum(x * y, 1), np.sum(y * z, 1), np.sum(z * x, 1)
    pairs = [xy * yz, (xy**2 - 1 / n) * (yz**2 - 1 / n), xy * yz * zx]
    wrong = {"jointly independent": [0, 0, 0]}
    claims.estimate(
        "stmt-angles-pairwise", np.column_stack(pairs), [0, 0, 1 / n**2], controls=wrong
    )


def test_welch_bound_is_reached_by_the_simplex():
    """eq-angles-welch: none is less coherent; the simplex is as coherent."""
    sizes = [2, 3, 5, 10]
    bounds = np.array([ra.welch_bound(n + 1, n) for n in sizes])
    simplex = []
    for n in sizes:
        centred = np.eye(n + 1) - 1 / (n + 1)
        simplex.append(ra.coherence(centred))
    assert_allclose(simplex, bounds, rtol=1e-12)
    forgotten = np.sqrt(1 / np.array(sizes))
    wrong = {"n dropped from the denominator": (forgotten, simplex)}
    claims.bound("eq-angles-welch", bounds, simplex, controls=wrong)
    for N, n in [(10, 3), (50, 8), (7, 7)]:
        assert ra.coherence(rng(1).normal(size=(N, n))) >= ra.welch_bound(N, n)


def test_rate_of_the_normal_limit():
    """eq-angles-normal-limit: sup distance c / n with Edgeworth's constant."""
    z = sp.symbols("z", positive=True)
    term = (3 * z - z**3) * sp.exp(-(z**2) / 2) / (4 * sp.sqrt(2 * sp.pi))
    roots = sp.solve(term.diff(z), z)
    constant = float(max(abs(term.subs(z, root).evalf()) for root in roots))
    assert constant == pytest.approx(0.137647, abs=1e-6)
    x, sizes = np.linspace(-6, 6, 20_001), np.array([100, 300, 1000])
    law = ra.cos_cdf(x / np.sqrt(sizes)[:, None], sizes[:, None])
    distance = np.abs(law - stats.norm.cdf(x)).max(axis=1)
    wrong = {"rate 1 / sqrt n": distance * np.sqrt(sizes)}
    claims.equal(
        "eq-angles-normal-limit",
        distance * sizes,
        np.full(3, constant),
        rtol=0.01,
        controls=wrong,
    )


@given(dimensions, st.floats(-1, 1))
def test_cosine_agrees_with_scipys_beta(n, eta):
    beta = stats.beta((n - 1) / 2, (n - 1) / 2, loc=-1, scale=2)
    assert_allclose(ra.cos_cdf(eta, n), beta.cdf(eta), rtol=1e-9, atol=1e-14)
    assert_allclose(ra.cos_logpdf(0.99 * eta, n), beta.logpdf(0.99 * eta), rtol=1e-9)


@given(dimensions, st.floats(1e-3, 1 - 1e-3))
def test_ppf_inverts_cdf(n, q):
    assert_allclose(ra.cos_cdf(ra.cos_ppf(q, n), n), q, rtol=1e-6)


@given(dimensions, st.floats(0, np.pi))
def test_angle_and_cosine_tell_the_same(n, theta):
    assert_allclose(ra.angle_cdf(theta, n), 1 - ra.cos_cdf(np.cos(theta), n), atol=1e-7)
    tail = ra.cos_cdf(-abs(np.cos(theta)), n) * 2
    assert_allclose(ra.tail_prob(abs(np.cos(theta)), n), tail, rtol=1e-6, atol=1e-12)


def test_ends_are_finite_or_infinite_but_never_nan():
    n = [[2], [2.5], [3], [4]]
    assert not np.isnan(ra.cos_logpdf([-1, 1, 2, -2], n)).any()
    assert not np.isnan(ra.angle_logpdf([0, np.pi, -1, 4], n)).any()
    assert (ra.angle_logpdf([0, np.pi], 5) == -np.inf).all()
    assert (ra.cos_logpdf([-2, 2], 5) == -np.inf).all()


@pytest.mark.parametrize("n", range(2, 22))
def test_exact_variance(n):
    with mpmath.workdps(30):
        assert abs(ra.angle_var_exact(n).evalf(30) - mpmath.psi(1, n / 2) / 2) < 1e-25


def test_kurtosis_is_about_two_over_n():
    assert_allclose(ra.angle_kurtosis(1000), -2 / 1000, rtol=0.01)


@pytest.mark.parametrize("method", ["normal", "angles"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_sphere_is_uniform(n, method):
    x = ra.sample_sphere(n, 20_000, rng(n), method)
    assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-12)
    direction = ra.sample_sphere(n, 1, rng(99))[0]
    assert stats.kstest(x @ direction, lambda e: ra.cos_cdf(e, n)).pvalue > 1e-5


def test_dimension_is_recovered():
    for n in (3, 16, 64):
        cos = ra.sample_cos(n, 20_000, rng(n))
        assert ra.dimension_mle(cos) == pytest.approx(n, rel=0.06)
        rows = ra.sample_sphere(n, 800, rng(n))
        assert ra.effective_dimension(rows) == pytest.approx(n, rel=0.05)


def test_effective_dimension_is_over_pairs_of_different_rows():
    rows = rng(0).normal(size=(30, 4))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    squared = (unit @ unit.T)[np.triu_indices(30, 1)] ** 2
    assert ra.effective_dimension(rows) == pytest.approx(1 / squared.mean())


BAD = {
    "n must be at least 2": lambda: ra.angle_pdf(1.0, 1.9),
    "n must be at least 2, got nan": lambda: ra.angle_var(np.nan),
    "n must be a whole number": lambda: ra.angle_var_exact(2.5),
    "n must be a whole number of at least 2": lambda: ra.sample_sphere(1, 5, rng(0)),
    r"eps must lie in \[0, 1\]": lambda: ra.tail_prob(1.5, 5),
    r"q must lie in \[0, 1\]": lambda: ra.cos_ppf(-0.1, 5),
    "kind must be": lambda: ra.tail_bound(0.1, 5, "other"),
    "method must be": lambda: ra.sample_sphere(3, 5, rng(0), "other"),
    "row of zeros": lambda: ra.coherence([[0, 0], [1, 1]]),
    r"X must have shape \(N, n\)": lambda: ra.effective_dimension([1, 2, 3]),
    "N must be at least 2": lambda: ra.coherence_quantile(1, 5, 0.5),
    "cos must hold": lambda: ra.dimension_mle([0.5, 1.0]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()
