"""Johnson-Lindenstrauss: claims that are not on the page, parity, bad input."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import linalg, sparse, special, stats

from kexue import claims, datasets
from kexue.mathematics import johnson_lindenstrauss as jl
from kexue.randomness import rng


def test_only_the_exponential_tail_gives_a_logarithm():
    """stmt-jl-why-log: at 24 ln N / eps^2 Chernoff suffices, Chebyshev does not."""
    eps, N = 0.3, np.array([100, 1000, 10**6])
    n, pairs = 24 * np.log(N) / eps**2, N * (N - 1) / 2
    chebyshev = pairs * jl.norm_tail_bound(n, eps, "chebyshev")
    claims.bound(
        "stmt-jl-why-log",
        pairs * jl.norm_tail_bound(n, eps, "chernoff"),
        1 / N,
        controls={
            "Chebyshev": (chebyshev, 1 / N),
            "Markov": (pairs / (1 + eps), 1 / N),
        },
    )
    assert_allclose(n, [1228, 1842, 3684], atol=0.6)
    enough = N.astype(float) ** 2 * (N - 1) / eps**2
    assert_allclose(pairs * jl.norm_tail_bound(enough, eps, "chebyshev"), 1 / N)
    assert_allclose(enough, [1.1e7, 1.11e10, 1.11e19], rtol=0.01)
    n = np.array([100, 1000])
    upper = special.gammaincc(n / 2, n / 2 * (1 + eps))
    assert_allclose(upper, [0.0235, 3.9e-10], rtol=0.01)
    chernoff = np.exp(n * (np.log1p(eps) - eps) / 2)
    assert_allclose(chernoff, [0.152, 6.7e-9], rtol=0.01)


def test_tail_of_the_norm():
    """eq-jl-unit-norm: 2 exp(-n eps^2 / 8), and the sharper one with a cubic term."""
    e = sp.symbols("epsilon", positive=True)
    handy, sharp = e - sp.log(1 + e) - e**2 / 4, e - sp.log(1 + e) - e**2 / 2 + e**3 / 3
    upper, lower = sp.log(1 + e) - e, sp.log(1 - e) + e
    slopes = sp.Matrix([sp.diff(f, e) for f in (handy, sharp, upper - lower)])
    # all three start at 0 and rise on [0, 1], so the upper tail decides
    right = [e * (1 - e) / (2 * (1 + e)), e**3 / (1 + e), 2 * e**2 / (1 - e**2)]
    wrong = [*right[:2], -right[2]]
    claims.identity(
        "eq-jl-unit-norm",
        slopes,
        sp.Matrix(right),
        controls={"the lower tail decides": sp.Matrix(wrong)},
    )
    assert [f.subs(e, 0) for f in (handy, sharp, upper - lower)] == [0, 0, 0]
    assert float(sp.nsolve(handy, e, 1.6)) == pytest.approx(1.6238, abs=1e-4)
    sizes = np.array([1, 2, 5, 10, 30, 100, 300, 1000, 3000, 10_000])
    n, eps = np.meshgrid(sizes, np.linspace(0.02, 0.98, 49))
    exact = jl.norm_tail(n, eps)
    seen = exact > 1e-280
    n, eps, exact = n[seen], eps[seen], exact[seen]
    claims.bound(
        "eq-jl-unit-norm",
        exact,
        jl.norm_tail_bound(n, eps, "cubic"),
        controls={"without the cubic term": 2 * np.exp(-n * eps**2 / 4)},
    )
    claims.bound(
        "eq-jl-unit-norm",
        exact,
        jl.norm_tail_bound(n, eps),
        controls={"without the cubic term": 2 * np.exp(-n * eps**2 / 4)},
    )
    below = special.gammainc(n / 2, n / 2 * (1 - eps))
    assert (below <= 0.68 * np.exp(-n * eps**2 / 4)).all()
    assert (exact <= jl.norm_tail_bound(n, eps, "chernoff")).all()


def test_tail_of_the_inner_product():
    """eq-jl-orthogonal: 4 exp(-n eps^2 / 8); the law of unit vectors is too small."""
    u, v = (sp.Matrix(sp.symbols(f"{name}1:4", real=True)) for name in "uv")
    plus, minus = (u + v).dot(u + v) / 2, (u - v).dot(u - v) / 2
    claims.identity(
        "eq-jl-orthogonal",
        u.dot(v),
        (plus - minus) / 2,
        controls={"not halved": plus - minus},
    )
    # given |u|^2 = r the product is N(0, r / n): one quadrature over t = ln r
    t = np.linspace(-20, 6, 8001)[:, None, None]
    n = np.array([2, 5, 10, 30, 100, 300, 1000.0])
    eps = np.linspace(0.05, 0.95, 19)[:, None]
    density = n / 2 * (t - np.exp(t) + np.log(n / 2)) - special.gammaln(n / 2)
    tail = np.log(2) + special.log_ndtr(-eps * np.sqrt(n / np.exp(t)))
    exact = special.logsumexp(density + tail, axis=0) + np.log(t[1, 0, 0] - t[0, 0, 0])
    assert_allclose(exact[:, 0], np.log(laplace_tail(eps[:, 0])), rtol=1e-6)
    bound = np.log(4) - n * eps**2 / 8
    ones = np.ones_like(exact)
    claims.bound(
        "eq-jl-orthogonal",
        np.exp(exact - bound),
        ones,
        controls={"unit vectors": np.exp(np.log(2) - n * eps**2 / 2 - bound)},
    )
    assert np.exp(exact - bound).max() == pytest.approx(0.226, abs=0.005)
    assert (exact <= np.log(2) - n * eps**2 / 4).all()


def laplace_tail(eps):
    """For n = 2 the product of two N(0, 1/2 I) vectors follows a Laplace law."""
    return np.exp(-2 * eps)


def test_inner_products_survive():
    """eq-jl-inner-product: variance (1 + <u, v>^2) / n, and all pairs within eps."""
    n, cosine = 16, 0.6
    A = jl.projection_matrix(2 * 20_000, n, rng(0)).reshape(-1, 2, n)
    u, v = A[:, 0], cosine * A[:, 0] + np.sqrt(1 - cosine**2) * A[:, 1]
    product = np.sum(u * v, axis=1)
    draws = np.column_stack([product - cosine, (product - cosine) ** 2])
    claims.estimate(
        "eq-jl-inner-product",
        draws,
        [0, (1 + cosine**2) / n],
        controls={"1 / n": [0, 1 / n]},
    )
    N, eps = 100, 0.5
    X = rng(1).normal(size=(N, 200))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    for seed in range(5):
        Y = jl.project(X, jl.jl_min_dim(N, eps), rng(seed))
        assert np.abs(Y @ Y.T - X @ X.T)[np.triu_indices(N, 1)].max() < eps


def test_variance_by_fourth_moment():
    """eq-jl-variance: (2 + (s - 3) sum u^4) / n; signs keep a one-hot vector as is."""
    draws, m, n = 20_000, 8, 16
    vectors = np.array([np.full(m, m**-0.5), np.eye(m)[0], np.zeros(m)])
    vectors[2, :2] = 0.5**0.5
    kinds = [("gaussian", None, 3), ("rademacher", None, 1)]
    kinds += [("sparse", 1 / 3, 3), ("sparse", 1 / 8, 8)]
    samples, expected = [], []
    for number, (kind, density, s) in enumerate(kinds):
        A = jl.projection_matrix(draws * m, n, rng(number), kind, density)
        A = A.toarray() if sparse.issparse(A) else A
        lengths = np.sum((vectors @ A.reshape(draws, m, n)) ** 2, axis=2)
        samples.append((lengths - 1) ** 2)
        expected.append((2 + (s - 3) * np.sum(vectors**4, axis=1)) / n)
    assert (samples[1][:, 1] == 0).all()
    claims.estimate(
        "eq-jl-variance",
        np.stack(samples, axis=1),
        np.array(expected),
        controls={"2 / n for all": np.full((4, 3), 2 / n)},
    )


def test_hadamard_needs_its_signs():
    """stmt-jl-srht: variance 2 (1 - n/M) / n on a flat vector; 3 without the signs."""
    n, M, generator = 16, 64, rng(0)
    row = linalg.hadamard(M)[5:6] / np.sqrt(M)
    signed = [np.sum(jl.srht(row, n, generator) ** 2) for _ in range(3000)]
    flat = (linalg.hadamard(M) @ row[0]) / np.sqrt(n)
    kept = generator.permuted(np.tile(np.arange(M), (3000, 1)), axis=1)[:, :n]
    bare = np.sum(flat[kept] ** 2, axis=1)
    assert set(np.round(bare, 9)) == {0, 4}
    assert np.mean(bare == 0) == pytest.approx(0.75, abs=0.04)
    exact = 2 * (1 - n / M) / n
    claims.estimate(
        "stmt-jl-srht",
        (np.array(signed) - 1) ** 2,
        exact,
        controls={"no signs": ((bare - 1) ** 2, exact), "with replacement": 2 / n},
    )


@pytest.mark.parametrize(("k", "tables"), [(4, 3), (8, 4), (8, 16)])
def test_amplification(k, tables):
    """eq-jl-amplify: 1 - (1 - p^k)^L with hyperplanes of its own for each table."""
    theta, repeats = np.radians(45), 4000
    index = jl.LSHIndex(2, k, tables * repeats, rng(k))
    keys = index.keys([[1, 0], [np.cos(theta), np.sin(theta)]])
    same = (keys[0] == keys[1]).reshape(repeats, tables)
    expected = float(jl.collision_probability(theta, k, tables))
    reused = float(jl.collision_probability(theta, k))
    claims.estimate(
        "eq-jl-amplify",
        same.any(axis=1),
        expected,
        controls={"the same planes in all tables": reused},
    )


def test_gram_matrix_of_a_sketch():
    """eq-jl-gram-sketch: the error is (|W|^2 + tr^2 W) / n with W = MM'."""
    x = sp.symbols("x", real=True)
    a, b = sp.symbols("a b", positive=True)

    def moment(power, variance):
        law = sp.exp(-(x**2) / (2 * variance)) / sp.sqrt(2 * sp.pi * variance)
        return sp.integrate(x**power * law, (x, -sp.oo, sp.oo))

    own = [moment(4, w) - moment(2, w) ** 2 for w in (a, b)]
    mixed = moment(2, a) * moment(2, b)
    claims.identity(
        "eq-jl-gram-sketch",
        sum(own) + 2 * mixed,
        a**2 + b**2 + (a + b) ** 2,
        controls={"no trace": 2 * (a**2 + b**2)},
    )
    M = rng(0).normal(size=(6, 40)) * np.arange(1, 7)[:, None]
    W, errors, expected = M @ M.T, [], []
    for n in (10, 30):
        A = jl.projection_matrix(40 * 4000, n, rng(n)).reshape(4000, 40, n)
        Y = M @ A
        errors.append(np.sum((Y @ Y.transpose(0, 2, 1) - W) ** 2, axis=(1, 2)))
        expected.append((np.sum(W**2) + np.trace(W) ** 2) / n)
    frobenius = np.sum(W**2) / np.array([5, 15])
    claims.estimate(
        "eq-jl-gram-sketch",
        np.transpose(errors),
        np.array(expected),
        controls={"no trace": frobenius},
    )


SPECTRA = {
    "1/j": 1 / np.arange(1, 201),
    "exponential": 0.5 ** np.arange(200),
    "slow exponential": 0.9 ** np.arange(200),
    "step": np.r_[np.ones(20), np.full(180, 0.01)],
}


def test_range_finder_bound():
    """eq-jl-range-finder: Halko, Martinsson and Tropp's bound, and not a kinder one."""
    k, found, bounds, kinder, spectral = 20, [], [], [], []
    for number, s in enumerate(SPECTRA.values()):
        for p in (2, 10):
            errors = []
            for seed in range(20):
                # Gaussians are isotropic: any matrix with these values would do
                Q = jl.range_finder(np.diag(s), k + p, rng(100 * number + seed))
                rest = np.diag(s) - Q @ (Q.T * s)
                errors.append([np.linalg.norm(rest), np.linalg.norm(rest, 2)])
            frobenius, largest = np.mean(errors, axis=0)
            found.append(frobenius)
            bounds.append(jl.hmt_bound(s, k, p))
            optimum = np.linalg.norm(s[k:])
            kinder.append(np.sqrt(1 + k / (p + k)) * optimum)
            spectral.append(largest / jl.hmt_bound(s, k, p, "spectral"))
    claims.bound(
        "eq-jl-range-finder",
        found,
        bounds,
        controls={"p + k for p - 1": (found, kinder)},
    )
    assert max(spectral) < 1


def test_softmax_escapes_the_rank():
    """stmt-jl-softmax-rank: no rank d comes as near to the identity as its softmax."""
    N, d, errors = 512, 16, []
    for seed in range(5):
        X = rng(seed).normal(size=(N, d))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        attention = special.softmax(20 * (X @ X.T), axis=1)
        errors.append(np.linalg.norm(attention - np.eye(N)) / np.sqrt(N))
    linear = np.full(5, np.sqrt((N - d) / N))
    claims.bound(
        "stmt-jl-softmax-rank",
        errors,
        linear,
        controls={"the rank bound for the softmax": (linear, errors)},
    )
    dims = (4, 8, 16, 32, 52)
    means = [
        np.mean([jl.softmax_codes_error(N, d, 20, rng(seed)) for seed in range(5)])
        for d in dims
    ]
    assert_allclose(means, [0.807, 0.163, 0.0063, 0.0002, 0], rtol=0.3, atol=1e-4)


def test_table_of_dimensions():
    """stmt-jl-dimension-table: 96, 128 and 52 are 8.33 natural logarithms."""
    N = np.array([100_000, 5_000_000, 512])
    printed = [96, 128, 52]
    claims.equal(
        "stmt-jl-dimension-table",
        np.floor(8.33 * np.log(N) + 0.5),
        printed,
        controls={"base 2": np.floor(8.33 * np.log2(N) + 0.5)},
    )
    exact = [jl.entropy_dimension(n) for n in N]
    assert_allclose(exact, [95.4, 127.9, 51.5], atol=0.06)


def test_success_long_before_the_bound():
    """exp-jl-success: nearly all draws at 16 ln N / eps^2, none at 4."""
    N, eps, rates = 100, 0.5, []
    for c in (16, 4):
        n = int(np.ceil(c * np.log(N) / eps**2))
        for seed in range(5):
            generator = rng(seed)
            X = generator.normal(size=(N, 200))
            worst = [
                np.abs(jl.distortion(X, jl.project(X, n, generator))).max()
                for _ in range(40)
            ]
            rates.append(np.mean(np.array(worst) <= eps))
    # each draw fails with a probability of at most 0.0003: one of 40 may
    most, none, promise = np.full(5, 39 / 40), np.zeros(5), np.full(5, 1 / N)
    claims.bound(
        "exp-jl-success",
        [most, rates[5:]],
        [rates[:5], none],
        controls={"the promised rate": ([most, none], [promise, none])},
    )


def test_recall_and_work_on_digits():
    """exp-jl-lsh: those that the angles predict, over 40 indices of each size."""
    X = datasets.digits()[0].reshape(-1, 64)
    X = X - X.mean(axis=0)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosine = np.clip(unit @ unit.T, -1, 1)
    np.fill_diagonal(cosine, -1)
    near, nearest = cosine.argmax(axis=1), np.arccos(cosine.max(axis=1))
    np.fill_diagonal(cosine, 1)
    angles, draws, found, expected, reused = np.arccos(cosine[:100]), 40, [], [], []
    for k, tables in ((8, 4), (8, 16)):
        keys = jl.LSHIndex(64, k, draws * tables, rng(tables)).keys(X)
        keys = keys.reshape(-1, draws, tables)
        found.append((keys == keys[near]).any(axis=2).mean(axis=0))
        work = [(key == keys).any(axis=2).mean(axis=0) for key in keys[:100]]
        found.append(np.mean(work, axis=0))
        for theta in (nearest, angles):
            expected.append(jl.collision_probability(theta, k, tables).mean())
            reused.append(jl.collision_probability(theta, k).mean())
    claims.estimate(
        "exp-jl-lsh",
        np.transpose(found),
        np.array(expected),
        controls={"the same planes in all tables": np.array(reused)},
    )
    assert_allclose(expected, [0.699, 0.037, 0.975, 0.116], atol=0.002)


def test_two_dimensions_separate_everything():
    """stmt-jl-circle: a small margin, which large logits make up for."""
    N = 512
    turn = 2 * np.pi * np.arange(N) / N
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    gram = circle @ circle.T
    margin = 1 - np.sort(gram[0])[-2]
    assert margin == pytest.approx(1 - np.cos(2 * np.pi / N))
    own = [np.mean(np.diag(special.softmax(b * gram, axis=1))) for b in (N**2 / 2, 20)]
    assert own[1] == pytest.approx(0.022, abs=0.001)

    def winners(keys):
        return np.sum(np.argmax(keys @ keys.T, axis=1) == np.arange(N))

    segment = np.linspace(-1, 1, N)[:, None]
    claims.bound(
        "stmt-jl-circle",
        [1 - 1e-3, N],
        [own[0], winners(circle)],
        controls={
            "one dimension": (N, winners(segment)),
            "logits of 20": (1 - 1e-3, own[1]),
        },
    )


def test_entropy_by_bessel_functions():
    n = np.array([8, 16, 64, 256])
    order = n / 2 - 1
    log_z = special.gammaln(n / 2) + order * np.log(2 / n)
    log_z += np.log(special.ive(order, n)) + n
    slope = n * special.ive(order + 1, n) / special.ive(order, n)
    drops = [jl.entropy_drop(size) for size in n]
    assert_allclose(drops, slope - log_z, rtol=1e-10)
    assert_allclose(drops / n, [0.2505, 0.2454, 0.2418, 0.2409], atol=5e-5)
    assert jl.entropy_drop(1e5) / 1e5 == pytest.approx(jl.entropy_rate(), rel=1e-4)
    # with attention's 1 / sqrt(n) half a nat goes, whatever the dimension
    scaled = [jl.entropy_drop(size, size**-0.5) for size in (64, 256, 4096)]
    assert_allclose(scaled, 0.5, atol=0.02)


def test_power_iteration_needs_its_orthonormalisation():
    """exp-jl-rsvd, the second control: plain powers lose the smaller directions."""
    s, k = 0.5 ** np.arange(60), 30
    U, V = np.linalg.qr(rng(1).normal(size=(2, 60, 60)))[0]
    M = U * s @ V.T
    for power, least in ((0, 0), (2, 1e4), (8, 1e4)):
        Q = jl.range_finder(M, k + 10, rng(0), power)
        plain = M @ rng(0).normal(size=(60, k + 10))
        for _ in range(power):
            plain = M @ (M.T @ plain)
        plain = np.linalg.qr(plain)[0]
        good, bad = (np.linalg.norm(M - q @ (q.T @ M), 2) / s[k] for q in (Q, plain))
        assert good < 1.001
        assert bad > least


@given(st.integers(1, 500), st.floats(0.01, 3))
def test_tail_agrees_with_scipy(n, eps):
    law = stats.chi2(n)
    exact = law.sf(n * (1 + eps)) + law.cdf(n * (1 - eps))
    assert_allclose(jl.norm_tail(n, eps), exact, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(
    ("N", "eps", "sure", "exists"),
    [(100, 0.1, 9.98, 6.05), (1000, 0.3, 11.9, 7.3), (10**6, 0.5, 14.4, 9.2)],
)
def test_dimensions(N, eps, sure, exists):
    unit = np.log(N) / eps**2
    assert jl.jl_min_dim(N, eps) == int(np.ceil(24 * unit))
    n = jl.jl_min_dim(N, eps, "exact")
    assert n / unit == pytest.approx(sure, rel=0.01)
    pairs = N * (N - 1) / 2
    assert pairs * jl.norm_tail(n, eps) <= 1 / N < pairs * jl.norm_tail(n - 1, eps)
    assert jl.jl_min_dim(N, eps, "exact", 1) / unit == pytest.approx(exists, rel=0.01)
    peer = pytest.importorskip(
        "sklearn.random_projection"
    ).johnson_lindenstrauss_min_dim
    assert jl.jl_min_dim(N, eps, "sklearn") - peer(N, eps=eps) in (0, 1)


@pytest.mark.parametrize("kind", ["gaussian", "rademacher", "sparse"])
def test_sparse_and_dense_input_agree(kind):
    X = sparse.random_array((5, 12), density=0.4, rng=rng(0), format="csr")
    assert_allclose(
        jl.project(X, 7, rng(1), kind), jl.project(X.toarray(), 7, rng(1), kind)
    )
    assert_allclose(jl.srht(X, 7, rng(1)), jl.srht(X.toarray(), 7, rng(1)))
    Y = jl.project(X, 7, rng(1), kind)
    assert_allclose(jl.distortion(X, Y), jl.distortion(X.toarray(), Y))


@settings(max_examples=20)
@given(st.integers(2, 70), st.floats(0.1, 10))
def test_full_hadamard_transform_is_a_rotation(m, scale):
    X = rng(m).normal(size=(4, m))
    Y = jl.srht(X, 2 ** int(m - 1).bit_length(), rng(0))
    assert_allclose(jl.distortion(X, Y), 0, atol=1e-9)
    assert_allclose(jl.distortion(X, scale * X), scale**2 - 1, atol=1e-9 * scale**2)


def test_codes_measure_angles():
    X = rng(0).normal(size=(6, 10))
    hasher = jl.SimHash(10, 8192, rng(1))
    codes = hasher.encode(X)
    assert codes.shape == (6, 1024)
    assert codes.dtype == np.uint8
    bits = np.unpackbits(codes, axis=1).astype(int)
    differ = (bits[:, None] != bits).sum(axis=2)
    assert_array_equal(hasher.hamming(codes, codes), differ)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    theta = np.arccos(np.clip(unit @ unit.T, -1, 1))
    np.fill_diagonal(theta, 0)
    sigma = np.sqrt(theta * (np.pi - theta) / 8192)
    assert (np.abs(hasher.angle(codes, codes) - theta) <= 5 * sigma).all()


def test_index_finds_what_shares_a_key():
    X = rng(0).normal(size=(200, 8))
    index = jl.LSHIndex(8, 6, 5, rng(1)).fit(X)
    keys = index.keys(X)
    cosines = X @ X.T / np.linalg.norm(X, axis=1)
    for number in (0, 17, 150):
        shared = np.flatnonzero((keys == keys[number]).any(axis=1))
        assert_array_equal(index.candidates(X[number]), shared)
        best = shared[np.argsort(-cosines[number, shared], kind="stable")]
        assert_array_equal(index.query(X[number], 3), best[:3])
        assert index.query(X[number])[0] == number


def test_singular_values_agree_with_lapack():
    left, right = (
        np.linalg.qr(rng(i).normal(size=(n, 40)))[0] for i, n in [(0, 90), (1, 70)]
    )
    M = left * 0.7 ** np.arange(40) @ right.T
    U, s, Vt = jl.randomized_svd(M, 8, rng(2), power=3)
    assert_allclose(s, np.linalg.svd(M, compute_uv=False)[:8], rtol=1e-8)
    assert_allclose(U.T @ U, np.eye(8), atol=1e-12)
    assert_allclose(Vt @ Vt.T, np.eye(8), atol=1e-12)
    assert_allclose(U * s @ Vt, left[:, :8] * s @ right[:, :8].T, atol=1e-3 * s[-1])
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    peer = torch.svd_lowrank(torch.from_numpy(M), 18, niter=3)[1][:8].numpy()
    assert_allclose(s, peer, rtol=1e-6)


INDEX, HASHER = jl.LSHIndex(4, 2, 3, rng(0)), jl.SimHash(4, 8, rng(0))
EYE = np.eye(4)
BAD = {
    r"n must lie in \(0, inf\]": lambda: jl.norm_tail(0, 0.1),
    r"eps must lie in \(0, 1\]": lambda: jl.norm_tail_bound(5, 1.5),
    "kind must be one of chernoff": lambda: jl.norm_tail_bound(5, 0.5, "other"),
    "method must be one of": lambda: jl.jl_min_dim(9, 0.5, "other"),
    "delta = 0.1 needs method='exact'": lambda: jl.jl_min_dim(9, 0.5, delta=0.1),
    "N must be a whole number of at least 2": lambda: jl.jl_min_dim(1, 0.5),
    "whole number of at least 2, got inf": lambda: jl.jl_min_dim(np.inf, 0.5),
    "M must be dense": lambda: jl.range_finder(sparse.eye_array(5), 2, rng(0)),
    "density = 0.5 needs kind='sparse'": lambda: jl.project(
        EYE, 2, rng(0), density=0.5
    ),
    "kind must be one of gaussian": lambda: jl.projection_matrix(2, 2, rng(0), "x"),
    r"X must have shape \(N, m\), got \(3,\)": lambda: jl.project([1, 2, 3], 2, rng(0)),
    "n must be at most 4, got 5": lambda: jl.srht(EYE, 5, rng(0)),
    "same number of rows": lambda: jl.distortion(EYE, EYE[:3]),
    "two rows that coincide": lambda: jl.distortion(np.ones((2, 3)), EYE[:2]),
    "bits must be a multiple of 8": lambda: jl.SimHash(4, 12, rng(0)),
    r"X must have shape \(N, 4\)": lambda: HASHER.encode(np.eye(3)),
    r"A must have shape \(N, 1\)": lambda: HASHER.hamming(EYE, EYE),
    "k must be at most 62": lambda: jl.LSHIndex(4, 63, 1, rng(0)),
    r"X must have shape \(N, 4\), got \(1, 3\)": lambda: INDEX.keys([[1, 2, 3]]),
    r"theta must lie in \[0, pi\]": lambda: jl.collision_probability(4.0),
    "size must be at most 4": lambda: jl.range_finder(EYE, 5, rng(0)),
    "power must be": lambda: jl.range_finder(EYE, 2, rng(0), -1),
    "k must be at most 4": lambda: jl.randomized_svd(EYE, 5, rng(0)),
    "k must be at most 4, got 6": lambda: jl.right_projection(EYE, 6, rng(0)),
    "norm must be one of": lambda: jl.hmt_bound([3, 2, 1], 2, 2, "other"),
    "more than 2 values in descending order": lambda: jl.hmt_bound([1, 2, 3], 2, 2),
    r"lam must lie in \(0, inf\]": lambda: jl.entropy_rate(0),
    "events must be": lambda: jl.entropy_dimension(9, events=0),
    "beta must lie": lambda: jl.softmax_codes_error(9, 2, -1, rng(0)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message]()


def test_an_empty_index_says_so():
    with pytest.raises(RuntimeError, match="call fit first"):
        jl.LSHIndex(4, 2, 3, rng(0)).candidates(EYE[0])
