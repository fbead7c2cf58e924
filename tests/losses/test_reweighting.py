"""Hidden weights: claims not on the page, peers, gradients, bad input, properties."""

import math

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from kexue import claims, datasets
from kexue.losses.reweighting import (
    ball_margins,
    calibration_map,
    class_weight_shift,
    dice_loss,
    dinkelbach_threshold,
    effective_weight,
    f1_weights,
    focal_loss,
    gce_loss,
    jaccard_loss,
    logit_adjusted_weight,
    margin_threshold,
    poly_loss,
    smooth_accuracy_loss,
    smooth_f1_fixed_point,
    smooth_fbeta_loss,
    softened_loss,
    truncated_loss,
    width_and_shift,
)
from kexue.randomness import generator, rng
from kexue.training import minimize

F64 = torch.float64
PRIOR, DISTANCE = 0.05, 1.5  # x given y is normal around 1.5 y, and P(y = 1) = .05

ELEMENTWISE = {
    "smooth accuracy": smooth_accuracy_loss,
    "gce": gce_loss,
    "gce .1": lambda *a, **k: gce_loss(*a, q=0.1, **k),
    "focal": focal_loss,
    "focal .5, alpha": lambda *a, **k: focal_loss(*a, gamma=0.5, alpha=0.25, **k),
    "focal 0": lambda *a, **k: focal_loss(*a, gamma=0, **k),
    "poly": lambda *a, **k: poly_loss(*a, gamma=3, **k),
    "truncated": truncated_loss,
    "softened": lambda *a, **k: softened_loss(*a, sharpness=3.0, **k),
}
SETS = {
    "F1": smooth_fbeta_loss,
    "F2": lambda *a, **k: smooth_fbeta_loss(*a, beta=2.0, **k),
    "F1 eps": lambda *a, **k: smooth_fbeta_loss(*a, eps=1.0, **k),
    "Dice": dice_loss,
    "Dice linear": lambda *a, **k: dice_loss(*a, squared=False, **k),
    "Jaccard": jaccard_loss,
}


def of_margin(loss, **settings):
    """A loss of logits as a function of the margin."""
    return lambda z: loss(z, torch.ones_like(z), reduction="none", **settings)


def two_gaussians(*shape, seed=0):
    """Draws x, labels y and posteriors P(y = 1 | x)."""
    g = generator(seed)
    y = torch.rand(*shape, generator=g, dtype=F64) < PRIOR
    x = torch.randn(*shape, generator=g, dtype=F64) + DISTANCE * y
    return x, y, torch.sigmoid(posterior_logit(x))


def posterior_logit(x):
    return DISTANCE * x - DISTANCE**2 / 2 + math.log(PRIOR / (1 - PRIOR))


# Claims that are not on the page


def test_stop_gradient_focal_descends_poly():
    """eq-sg-focal-is-poly: CE less gamma Taylor terms has the weight (1 - p)^gamma."""
    p = sp.symbols("p", positive=True)
    weighted, dropped, focal = [], [], []
    for gamma in (1, 2, 3):
        taylor = sum((1 - p) ** j / sp.Integer(j) for j in range(1, gamma + 1))
        weighted.append((1 - p) ** gamma * sp.diff(-sp.log(p), p))
        dropped.append(sp.diff(-sp.log(p) - taylor, p))
        focal.append(sp.diff(-((1 - p) ** gamma) * sp.log(p), p))
    claims.identity(
        "eq-sg-focal-is-poly",
        sp.Matrix(weighted),
        sp.Matrix(dropped),
        controls={"focal": sp.Matrix(focal)},
    )
    z = torch.linspace(-12, 12, 2001, dtype=F64)
    weight = torch.sigmoid(-z) ** 2
    poly = effective_weight(of_margin(poly_loss, gamma=2), z)
    focal = effective_weight(of_margin(focal_loss, gamma=2), z)
    stopped = of_margin(focal_loss, gamma=2, stop_gradient=True)
    push = torch.sigmoid(-z)
    claims.equal(
        "eq-sg-focal-is-poly",
        torch.stack([effective_weight(stopped, z), poly]) * push,
        torch.stack([weight, weight]) * push,
        atol=1e-15,
        controls={"focal": torch.stack([focal, focal]) * push},
    )
    gap = ((focal - weight) * push).abs().max().item()
    assert gap == pytest.approx(0.415, abs=5e-4)


def test_truncated_softened_and_focal():
    """eq-hard-soft-focal: one at K = gamma = 1; as frozen weights alike for all."""
    z, k = sp.symbols("z k", real=True)

    def sigma(x):
        return 1 / (1 + sp.exp(-x))

    odds = [sigma(k * z) / sigma(-k * z), (sigma(z) / sigma(-z)) ** 3]
    claims.identity(
        "eq-hard-soft-focal",
        sp.Matrix(odds),
        sp.Matrix([sp.exp(k * z), sp.exp(3 * z)]),
        controls={"same K and gamma + 1": sp.Matrix([sp.exp(k * z), sp.exp(4 * z)])},
    )
    grid = torch.arange(-1000, 1001, dtype=F64) / 80
    ones = torch.ones_like(grid)
    claims.equal(
        "eq-hard-soft-focal",
        softened_loss(grid, ones, sharpness=1, reduction="none"),
        focal_loss(grid, ones, gamma=1, reduction="none"),
        rtol=1e-14,
        controls={"K = 2": softened_loss(grid, ones, sharpness=2, reduction="none")},
    )
    hard = truncated_loss(grid, ones, reduction="none")
    sharp = softened_loss(grid, ones, sharpness=1e4, reduction="none")
    claims.equal(
        "eq-hard-soft-focal",
        sharp,
        hard,
        atol=1e-12,
        controls={"CE": -F.logsigmoid(grid)},
    )
    # the same optimum for K = gamma, although the weights differ
    eta = torch.linspace(0.05, 0.95, 19, dtype=F64)
    soft, focal = (
        calibration_map(weight, eta)
        for weight in (
            lambda z: torch.sigmoid(-2 * z),
            lambda z: torch.sigmoid(-z) ** 2,
        )
    )
    torch.testing.assert_close(soft, focal, rtol=0, atol=1e-12)
    two = torch.tensor(2.0)
    assert torch.sigmoid(-2 * two).item() == pytest.approx(0.018, abs=5e-4)
    assert torch.sigmoid(-two).item() == pytest.approx(0.119, abs=5e-4)


@pytest.mark.parametrize(
    ("loss", "settings", "eta", "expected"),
    [
        (focal_loss, {"gamma": 2}, [0.9, 0.99], [0.694, 0.846]),
        (softened_loss, {"sharpness": 2}, [0.9], [0.728]),
        (softened_loss, {"sharpness": 10}, [0.9], [0.603]),
        (softened_loss, {"sharpness": 100}, [0.9], [0.517]),
        (truncated_loss, {}, [0.1, 0.9], [0.5, 0.5]),
        (smooth_accuracy_loss, {}, [0.1, 0.9], [0.0, 1.0]),
    ],
)
def test_calibration_of_whole_losses(loss, settings, eta, expected):
    loss = of_margin(loss, **settings)
    found = calibration_map(
        lambda z: effective_weight(loss, z), torch.tensor(eta, dtype=F64)
    )
    np.testing.assert_allclose(found, expected, atol=6e-4)


def test_dice_and_jaccard():
    """eq-dice-jaccard: squared Dice weighs negatives by D p; Jaccard is F / (2 - F)."""
    # one sample in the open, the sums over all others as symbols
    p, y, a, b, c = sp.symbols("p y a b c", positive=True)
    hits, squares, total = a + p * y, b + p**2 + y**2, c + p + y
    dice, f, jaccard = 2 * hits / squares, 2 * hits / total, hits / (total - hits)
    chain = 2 / (2 - f) ** 2 * sp.diff(f, p)
    claims.identity(
        "eq-dice-jaccard",
        sp.Matrix([sp.diff(1 - dice, p), jaccard, sp.diff(jaccard, p)]),
        sp.Matrix([-2 * (y - dice * p) / squares, f / (2 - f), chain]),
        controls={
            "D in place of D p": sp.Matrix(
                [-2 * (y - dice) / squares, f / (2 - f), chain]
            )
        },
    )
    z, y, _ = two_gaussians(50)
    f = 1 - smooth_fbeta_loss(z, y)
    torch.testing.assert_close(1 - jaccard_loss(z, y), f / (2 - f))
    torch.testing.assert_close(dice_loss(z, y, squared=False), 1 - f)


def test_smooth_accuracy_is_cross_entropy_times_p():
    """eq-grad-smooth-accuracy: slopes -(2 y - 1) p (1 - p) and p - y, ratio p_t."""
    p, y = sp.symbols("p y", positive=True)

    def slope(loss):
        return sp.simplify(sp.diff(loss, p) * p * (1 - p))

    accuracy = slope(1 - y * p - (1 - y) * (1 - p))
    entropy = slope(-y * sp.log(p) - (1 - y) * sp.log(1 - p))
    ratios = [(accuracy / entropy).subs(y, label) for label in (1, 0)]
    right = [-(2 * y - 1) * p * (1 - p), p - y]
    claims.identity(
        "eq-grad-smooth-accuracy",
        sp.Matrix([accuracy, entropy, *ratios]),
        sp.Matrix([*right, p, 1 - p]),
        controls={"weight 1 - p_t": sp.Matrix([*right, 1 - p, p])},
    )
    z = torch.linspace(-12, 12, 2001, dtype=F64)
    weight = effective_weight(of_margin(smooth_accuracy_loss), z)
    push = torch.sigmoid(-z)
    claims.equal(
        "eq-grad-smooth-accuracy",
        weight * push,
        torch.sigmoid(z) * push,
        atol=1e-15,
        controls={"weight 1 - p_t": push * push},
    )


def test_escape_times():
    """eq-escape-time: from z = -a to 0, cross-entropy linear, accuracy exponential."""
    a, z = sp.symbols("a z", positive=True)
    sigma = 1 / (1 + sp.exp(-z))
    times = [
        sp.integrate(sp.expand(1 / speed), (z, -a, 0))
        for speed in (1 - sigma, sigma * (1 - sigma))
    ]
    entropy = a + 1 - sp.exp(-a)
    claims.identity(
        "eq-escape-time",
        sp.Matrix(times),
        sp.Matrix([entropy, 2 * a + 2 * sp.sinh(a)]),
        controls={"a little slower": sp.Matrix([entropy, 2 * entropy])},
    )
    found = [[float(time.subs(a, start)) for time in times] for start in (2, 5, 10)]
    stated = [[2.8647, 11.2537], [5.9933, 158.4064], [11.0, 22046.47]]
    np.testing.assert_allclose(found, stated, rtol=1e-4)


def test_logit_adjustment_weighs_what_is_learnt():
    """eq-logit-adjustment-as-weight: 1 for hopeless positives, e^-b for learnt ones."""
    z, b = sp.symbols("z b", real=True)

    def slope(shift):
        return sp.diff(sp.log(1 + sp.exp(-(z + shift))), z)

    ratio = slope(b) / slope(0)
    stated = (1 + sp.exp(z)) / (1 + sp.exp(z + b))
    ends = [sp.limit(stated, z, end) for end in (-sp.oo, sp.oo)]
    claims.identity(
        "eq-logit-adjustment-as-weight",
        sp.Matrix([ratio, *ends]),
        sp.Matrix([stated, 1, sp.exp(-b)]),
        controls={"constant": sp.Matrix([sp.exp(-b), 1, sp.exp(-b)])},
    )
    grid = torch.linspace(-12, 12, 2001, dtype=F64)
    b = math.log(PRIOR / (1 - PRIOR))
    push = torch.sigmoid(-grid)
    claims.equal(
        "eq-logit-adjustment-as-weight",
        logit_adjusted_weight(grid, b) * push,
        torch.sigmoid(-(grid + b)),
        atol=1e-15,
        controls={"constant": math.exp(-b) * push},
    )


def test_softmax_losses_of_one_probability():
    """The weight -p l'(p) holds for every loss of the right class's probability."""
    scores = 2 * torch.randn(1000, 10, generator=generator(20), dtype=F64)
    scores.requires_grad_()

    def slope(loss):
        probs = F.softmax(scores, -1)
        return torch.autograd.grad(loss(probs), scores)[0]

    losses = {
        "accuracy": (lambda p: 1 - p, lambda p: p),
        "gce": (lambda p: (1 - p**0.7) / 0.7, lambda p: p**0.7),
        "focal": (
            lambda p: -((1 - p) ** 2) * p.log(),
            lambda p: (1 - p) ** 2 - 2 * p * (1 - p) * p.log(),
        ),
    }
    for loss, weight in losses.values():
        whole = slope(lambda q, loss=loss: loss(q[:, 0]).sum())
        frozen = slope(lambda q, w=weight: (-q[:, 0].log() * w(q[:, 0]).detach()).sum())
        torch.testing.assert_close(whole, frozen, rtol=0, atol=1e-14)
    # the Brier score looks at all of them
    brier = slope(lambda q: (q**2).sum() - 2 * q[:, 0].sum())
    plain = slope(lambda q: -q[:, 0].log().sum())
    cosine = F.cosine_similarity(brier, plain)
    assert cosine.min() < 0.5
    assert cosine.mean() < 0.9


def test_calibration_map_minimises_the_risk():
    eta = torch.linspace(0.1, 0.9, 33, dtype=F64)
    parts = [
        of_margin(gce_loss, q=0.5),
        of_margin(poly_loss, gamma=2),
        of_margin(focal_loss),
    ]

    def risk(z):
        runs = zip(parts, z, strict=True)
        return sum((eta * loss(r) + (1 - eta) * loss(-r)).sum() for loss, r in runs)

    start = torch.zeros(3, 33, dtype=F64)
    (best,) = minimize(risk, [start], steps=400, lr=1.0, decay=True)
    true = torch.logit(eta)
    focal = calibration_map(lambda z: effective_weight(parts[2], z), eta)
    expected = torch.stack([2 * true, true / 3, torch.logit(focal)])
    torch.testing.assert_close(
        torch.sigmoid(best), torch.sigmoid(expected), rtol=0, atol=1e-6
    )


def test_descent_ends_at_the_fixed_point():
    """The article's objective on the whole population, by its gradient."""
    x = torch.linspace(-6, 8, 1401, dtype=F64)
    eta = torch.sigmoid(posterior_logit(x))
    mass = torch.exp(-(x**2) / 2) / (1 - eta)
    mass = mass / mass.sum()

    def objective(slope, offset):
        z = slope * x + offset
        p = torch.sigmoid(z)
        half = (mass @ (eta * p) / (mass @ (eta + p))).detach()
        pull = (1 - half) * eta * F.softplus(-z) + half * (1 - eta) * F.softplus(z)
        return mass @ pull

    zero = torch.zeros((), dtype=F64)
    slope, offset = minimize(objective, [zero, zero], steps=300, lr=0.1, decay=True)
    end = torch.sigmoid(posterior_logit(-offset / slope)).item()
    f, threshold = smooth_f1_fixed_point(eta, mass)
    assert f == pytest.approx(0.20863, abs=1e-5)
    assert end == pytest.approx(threshold, abs=1e-5)


def test_digit_eight():
    """exp-digit-eight: under-trained, Dice gains in every split.

    Hard-F weights gain in the paired test. Class weights do not win every split in F1;
    they and logit adjustment win each in balanced accuracy.
    """
    splits, seeds = [], range(8)
    images, digit = datasets.digits()
    for number in seeds:
        parts = datasets.split(
            images.reshape(-1, 64), digit == 8, rng(number), test_share=0.5
        )
        centre = parts.x_train.mean(0)
        axes = np.linalg.svd(parts.x_train - centre, full_matrices=False)[2][:6].T
        splits.append(
            [
                torch.tensor((parts.x_train - centre) @ axes, dtype=torch.float32),
                torch.tensor(parts.y_train),
                torch.tensor((parts.x_test - centre) @ axes, dtype=torch.float32),
                torch.tensor(parts.y_test),
            ]
        )
    x, y, x_test, y_test = map(torch.stack, zip(*splits, strict=True))
    pi = y.float().mean(1, keepdim=True)

    def weighted(z, positive, negative):
        ce = F.binary_cross_entropy_with_logits(z, y.to(z), reduction="none")
        return (ce * torch.where(y, positive, negative)).mean()

    def hard_f(z):
        pos, neg = f1_weights(z > 0, y)
        return weighted(z, pos[:, None], neg[:, None])

    one = torch.ones_like(pi)
    rivals = {
        "accuracy": lambda z: smooth_accuracy_loss(z, y),
        "cross-entropy": lambda z: weighted(z, one, one),
        "class weights": lambda z: weighted(z, 1 / pi, 1 / (1 - pi)),
        "adjusted": lambda z: weighted(z + pi.logit(), one, one),
        "hard-F": hard_f,
        "Dice": lambda z: dice_loss(z, y),
    }

    def layers(number):
        draw = generator(200 + number)
        shapes = {(6, 16): 6, (1, 16): 6, (16, 1): 16, (1, 1): 16}
        return [
            (2 * torch.rand(shape, generator=draw) - 1) / fan**0.5
            for shape, fan in shapes.items()
        ]

    def network(x, w1, b1, w2, b2):
        return (torch.tanh(x @ w1 + b1) @ w2 + b2)[..., 0]

    def total(*weights):
        runs = zip(rivals.values(), network(x, *weights), strict=True)
        return sum(loss(z) for loss, z in runs)

    start = [
        torch.stack([torch.stack(part)] * len(rivals))
        for part in zip(*map(layers, seeds), strict=True)
    ]
    found = minimize(total, start, steps=200, lr=0.02)
    called = network(x_test, *found) > 0
    hits, alarms = (called & y_test).sum(-1), (called & ~y_test).sum(-1)
    f1 = 2 * hits / (called.sum(-1) + y_test.sum(-1))
    recall, false = hits / y_test.sum(-1), alarms / (~y_test).sum(-1)
    f1 = dict(zip(rivals, f1, strict=True))
    balance = dict(zip(rivals, (1 + recall - false) / 2, strict=True))
    plain = f1["cross-entropy"]
    claims.bound(
        "exp-digit-eight",
        plain,
        f1["Dice"],
        controls={"smooth accuracy": f1["accuracy"]},
    )
    claims.outcome(
        "exp-digit-eight",
        f1["hard-F"],
        plain,
        controls={"smooth accuracy": (f1["accuracy"], plain)},
    )
    best = torch.minimum(balance["class weights"], balance["adjusted"])
    claims.bound(
        "exp-digit-eight",
        balance["cross-entropy"],
        best,
        controls={"smooth accuracy": balance["accuracy"]},
    )
    means = {name: value.mean() for name, value in balance.items()}
    assert max(means, key=means.__getitem__) in {"class weights", "adjusted"}


def test_f1_of_a_batch_is_too_low():
    """stmt-batch-f1-bias: E F1(batch) is below F1(population), and by much."""
    x = torch.linspace(-9, 11, 20_001, dtype=F64)
    mass = (1 - PRIOR) * torch.exp(-(x**2) / 2)
    mass = mass + PRIOR * torch.exp(-((x - DISTANCE) ** 2) / 2)
    eta = torch.sigmoid(posterior_logit(x))
    population = (2 * (mass @ eta**2) / (mass @ (eta + eta))).item()
    assert population == pytest.approx(0.2119, abs=5e-5)
    means, limits, expected = [], [], [0.0878, 0.1709, 0.2006]
    for number, size in enumerate((8, 32, 128)):
        _, y, p = two_gaussians(20_000, size, seed=number)
        losses = smooth_fbeta_loss(torch.logit(p), y, reduction="none")
        means.append(1 - losses.mean())
        limits.append(means[-1] + 4 * losses.std() / math.sqrt(len(losses)))
        assert (losses[~y.any(-1)] == 1).all()
    claims.bound(
        "stmt-batch-f1-bias",
        limits,
        population,
        controls={"unbiased at 8": (population, limits[0])},
    )
    np.testing.assert_allclose(means, expected, atol=0.005)


def test_small_batches_end_at_a_lower_threshold():
    """stmt-batch-f1-bias: minibatches of smooth F1 move the border, too."""
    ends = {}
    for size in (16, 512):
        g = generator(size)

        def loss(slope, offset, size=size, g=g):
            y = torch.rand(5, size, generator=g) < PRIOR
            x = torch.randn(5, size, generator=g) + DISTANCE * y
            return smooth_fbeta_loss(slope * x + offset, y, reduction="sum")

        start = torch.zeros(5, 1)
        slope, offset = minimize(loss, [start, start], steps=1500, lr=0.03, decay=True)
        ends[size] = torch.sigmoid(posterior_logit(-offset / slope)).mean().item()
    low, high = ends[16], ends[512]
    claims.bound(
        "stmt-batch-f1-bias",
        [low, 0.16, high],
        [0.14, high, 0.2],
        controls={"no bias at 16": (0.16, low)},
    )


def test_class_weights_shift_the_logit():
    """eq-weight-is-logit-shift: logit p = logit eta + log(w_1 / w_0)."""
    p, eta, pos, neg = sp.symbols("p eta w_1 w_0", positive=True)
    risk = -pos * eta * sp.log(p) - neg * (1 - eta) * sp.log(1 - p)
    (best,) = sp.solve(sp.diff(risk, p), p)
    claims.identity(
        "eq-weight-is-logit-shift",
        sp.simplify(best / (1 - best)),
        eta / (1 - eta) * pos / neg,
        controls={"shift by the ratio": eta / (1 - eta) * sp.exp(pos / neg)},
    )
    assert class_weight_shift(0.95, 0.05) == pytest.approx(math.log(19))


def test_balls_and_margins():
    """eq-ball-margin: CE <= worst CE in the ball <= exact margins <= sums of norms."""
    g = generator(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=F64)

    draws, num_classes, dim = 300, 5, 8
    f, u = normal(draws, dim), normal(draws, num_classes, dim)
    radius = torch.rand(draws, generator=g, dtype=F64)
    gaps = u[:, 1:] - u[:, :1]  # class 0 is the right one

    def cross_entropy(features, margins=0.0):
        scores = torch.einsum("nsd,nkd->nsk", features, gaps) + margins
        return torch.logsumexp(F.pad(scores, (1, 0)), -1)

    # a convex function is largest on the border: go where the gradient points
    z = f[:, None] + radius[:, None, None] * F.normalize(normal(draws, 6, dim), dim=-1)
    for _ in range(100):
        z.requires_grad_()
        (slope,) = torch.autograd.grad(cross_entropy(z).sum(), z)
        z = (f[:, None] + radius[:, None, None] * F.normalize(slope, dim=-1)).detach()
    worst = cross_entropy(z).amax(-1)
    tables = {
        exact: torch.stack(
            [
                ball_margins(vectors, r.expand(num_classes), exact=exact)[0, 1:]
                for vectors, r in zip(u, radius, strict=True)
            ]
        )
        for exact in (True, False)
    }
    plain = cross_entropy(f[:, None])[:, 0]
    exact, article = (
        cross_entropy(f[:, None], tables[kind][:, None])[:, 0] for kind in (True, False)
    )
    claims.bound(
        "eq-ball-margin",
        torch.stack([plain, worst, exact]),
        torch.stack([worst, exact, article]),
        controls={"without the ball": (worst, plain)},
    )
    # one score: abs(<z - f, u>) <= r norm(u)
    inside = (z[:, 0] - f)[:, None] * u
    reach = radius[:, None] * u.norm(dim=-1)
    claims.bound(
        "eq-ball-margin",
        inside.sum(-1).abs(),
        reach,
        controls={"without the norm of u": radius[:, None].expand_as(reach)},
    )
    # two classes: the ball's worst point is known, the second step an equality
    two = gaps[:, :1]
    known = torch.einsum("nd,nkd->nk", f, two)[:, 0] + radius * two[:, 0].norm(dim=-1)
    at = f + radius[:, None] * F.normalize(two[:, 0], dim=-1)
    torch.testing.assert_close((at * two[:, 0]).sum(-1), known)


def test_exact_condition_certifies_more():
    """eq-ball-margin: unit vectors, r = .6: the exact condition never fails alone."""
    g = generator(1)
    u = F.normalize(torch.randn(2, 20_000, 8, generator=g, dtype=F64), dim=-1)
    gap = u[0] - u[1]
    f = 2 * torch.randn(20_000, 8, generator=g, dtype=F64)
    f = f + (2 - (f * gap).sum(-1, keepdim=True)) * gap / (gap**2).sum(-1, keepdim=True)
    score = (f * gap).sum(-1) * torch.rand(20_000, generator=g, dtype=F64)
    tables = [0.6 * gap.norm(dim=-1), torch.full_like(score, 1.2)]
    exact, article = (score > table for table in tables)
    assert exact[article].all()
    assert exact.double().mean() > article.double().mean() + 0.01


# Gradients, extremes, shapes


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses(name):
    loss, g = ELEMENTWISE[name], generator(3)
    z = torch.randn(2, 3, 4, generator=g, dtype=F64, requires_grad=True)
    y = torch.rand(2, 3, 4, generator=g) < 0.4
    assert torch.autograd.gradcheck(lambda z: loss(z, y, reduction="none"), z)
    single = loss(z.detach().float(), y, reduction="none")
    assert single.shape == z.shape
    assert single.dtype == torch.float32
    assert loss(z, y.int()) == loss(z, y, reduction="none").mean()
    assert loss(z, y, reduction="sum") == loss(z, y, reduction="none").sum()
    # one margin for both labels
    if "alpha" not in name:
        assert torch.equal(loss(z, y), loss(-z, ~y))
    for dtype in (torch.float32, F64):
        far = torch.tensor([-1e4, -50, 0, 50, 1e4], dtype=dtype, requires_grad=True)
        for target in (0, 1):
            value = loss(far, torch.full((5,), target), reduction="none")
            (slope,) = torch.autograd.grad(value.sum(), far)
            assert value.isfinite().all()
            assert slope.isfinite().all()
            assert (value >= -1e-6).all()


@pytest.mark.parametrize("name", SETS)
def test_losses_of_sets(name):
    loss, g = SETS[name], generator(4)
    z = torch.randn(2, 3, 6, generator=g, dtype=F64, requires_grad=True)
    y = torch.rand(2, 3, 6, generator=g) < 0.4
    y[..., 0], y[0, 0] = True, False  # one set without positives
    assert torch.autograd.gradcheck(lambda z: loss(z, y, reduction="none"), z)
    rows = loss(z, y, reduction="none")
    assert rows.shape == (2, 3)
    assert rows[1, 2] == loss(z[1, 2], y[1, 2])
    if "eps" not in name:
        (slope,) = torch.autograd.grad(rows[0, 0], z)
        assert rows[0, 0] == 1
        assert not slope.any()
    for target in (0, 1):
        far = torch.tensor([-1e4, 1e4], requires_grad=True)
        for part in (far[:1], far[1:], far):
            value = loss(part, torch.full((len(part),), target))
            (slope,) = torch.autograd.grad(value, far)
            assert value.isfinite()
            assert slope.isfinite().all()
    with pytest.raises(ValueError, match="n >= 1"):
        loss(torch.zeros(2, 0), torch.zeros(2, 0))


def test_gce_spans_cross_entropy_and_accuracy():
    z = torch.linspace(-12, 12, 101, dtype=F64)
    y = torch.rand(101, generator=generator(5)) < 0.5
    ce = F.binary_cross_entropy_with_logits(z, y.double())
    torch.testing.assert_close(gce_loss(z, y, q=1e-14), ce)
    torch.testing.assert_close(gce_loss(z, y, q=1.0), smooth_accuracy_loss(z, y))
    for loss in (focal_loss(z, y, gamma=0), poly_loss(z, y, gamma=0)):
        torch.testing.assert_close(loss, ce)


def test_focal_loss_agrees_with_torchvision():
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    z = torch.randn(100, generator=generator(6))
    y = (torch.rand(100, generator=generator(7)) < 0.3).float()
    peer = ops.sigmoid_focal_loss(z, y, alpha=0.25, gamma=2, reduction="mean")
    torch.testing.assert_close(focal_loss(z, y, alpha=0.25), peer)


# Thresholds


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_dinkelbach_finds_the_best_cut(pairs):
    probs = torch.tensor([score / 10 for score, _ in pairs])
    y = torch.tensor([label for _, label in pairs])
    if not y.any():
        with pytest.raises(ValueError, match="at least one positive"):
            dinkelbach_threshold(probs, y)
        return
    for beta in (0.5, 1.0, 2.0):
        values = []
        for cut in probs.unique():
            chosen = probs >= cut
            hits = (chosen & y).sum().item()
            total = beta**2 * y.sum().item() + chosen.sum().item()
            values.append((1 + beta**2) * hits / total)
        cut, f = dinkelbach_threshold(probs, y, beta=beta)
        assert f.item() == pytest.approx(max(values), abs=1e-12)
        chosen = probs >= cut
        hits = (chosen & y).sum().item()
        total = beta**2 * y.sum().item() + chosen.sum().item()
        assert (1 + beta**2) * hits / total == pytest.approx(f.item())


def test_dinkelbach_agrees_with_the_precision_recall_sweep():
    metrics = pytest.importorskip("sklearn.metrics")
    x, y, _ = two_gaussians(20_000, seed=8)
    precision, recall, _ = metrics.precision_recall_curve(y.numpy(), x.numpy())
    with np.errstate(invalid="ignore"):
        sweep = np.nanmax(2 * precision * recall / (precision + recall))
    _, f = dinkelbach_threshold(x, y)
    assert f.item() == pytest.approx(sweep, abs=1e-12)


def test_f1_weights():
    g = generator(9)
    pred, y = torch.rand(2, 3, 50, generator=g) < 0.4
    pos, neg = f1_weights(pred, y)
    metrics = pytest.importorskip("sklearn.metrics")
    for row in range(3):
        f1 = metrics.f1_score(y[row].numpy(), pred[row].numpy())
        assert neg[row].item() == pytest.approx(f1 / 2)
    torch.testing.assert_close(pos + neg, torch.ones(3))
    nothing = torch.zeros(4, dtype=torch.bool)
    assert f1_weights(nothing, nothing) == (1, 0)


def test_fixed_point_solves_its_equation():
    eta = torch.sigmoid(3 * torch.randn(500, generator=generator(10), dtype=F64) - 2)
    mass = torch.rand(500, generator=generator(11), dtype=F64)
    f, threshold = smooth_f1_fixed_point(eta, mass)
    logit = torch.logit(eta) + math.log((2 - f) / f)
    p = torch.sigmoid(logit)
    assert f == pytest.approx((2 * (mass @ (eta * p)) / (mass @ (eta + p))).item())
    assert threshold == f / 2
    assert smooth_f1_fixed_point(eta, 7 * mass)[0] == pytest.approx(f)


def test_margin_threshold_is_where_the_best_score_is_zero():
    m = 4 * torch.randn(2, 200, generator=generator(12), dtype=F64)
    eta = margin_threshold(m[0], m[1])
    pull = eta * torch.sigmoid(m[0]) - (1 - eta) * torch.sigmoid(m[1])
    torch.testing.assert_close(pull, torch.zeros_like(pull), rtol=0, atol=1e-15)
    shift = torch.tensor(2.0)
    torch.testing.assert_close(margin_threshold(shift, -shift), torch.sigmoid(-shift))


def test_width_and_shift_add_up():
    delta = torch.randn(4, 4, generator=generator(13), dtype=F64)
    width, shift = width_and_shift(delta)
    torch.testing.assert_close(width / 2 + shift, delta)
    prior = torch.tensor([0.7, 0.2, 0.1])
    adjusted = torch.log(prior / prior[:, None])
    assert width_and_shift(adjusted)[0].abs().max() < 1e-6
    u, radius = torch.randn(4, 3, generator=generator(14)), torch.arange(4.0)
    for exact in (True, False):
        width, _ = width_and_shift(ball_margins(u, radius, exact=exact))
        assert (width >= 0).all()
    assert (ball_margins(u, radius) <= ball_margins(u, radius, exact=False)).all()


def test_effective_weight_is_blank_where_it_has_no_digits():
    z = torch.tensor([-31.0, -30.0, 0.0, 30.0, 31.0])
    found = effective_weight(of_margin(smooth_accuracy_loss), z)
    assert found.isnan().tolist() == [True, False, False, False, True]
    torch.testing.assert_close(found[1:4], torch.sigmoid(z[1:4].double()))


# Bad input

Z, Y = torch.zeros(3), torch.tensor([0, 1, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gce_loss(Z, Y, q=0), r"q must lie in \(0, 1\], got 0"),
        (lambda: focal_loss(Z, Y, gamma=-1), "gamma must be at least 0, got -1"),
        (lambda: focal_loss(Z, Y, alpha=2), "alpha must lie in"),
        (lambda: poly_loss(Z, Y, gamma=1.5), "whole number"),
        (lambda: truncated_loss(Z, Y, margin=1), "margin must lie in"),
        (lambda: softened_loss(Z, Y, sharpness=0), "sharpness must be positive"),
        (lambda: smooth_accuracy_loss(Z, Y[:2]), "targets and logits must have"),
        (lambda: smooth_accuracy_loss(Z, Y + 1), "targets must be 0 or 1, got 2"),
        (lambda: smooth_accuracy_loss(Z, Y, reduction="all"), "reduction must be"),
        (lambda: smooth_fbeta_loss(Z, Y, beta=0), "beta must be positive"),
        (lambda: dice_loss(Z, Y, eps=-1), "eps must be at least 0"),
        (lambda: calibration_map(torch.sigmoid, Z), r"eta must lie in \(0, 1\)"),
        (lambda: class_weight_shift(1, 0), "weights must be positive, got 1 and 0"),
        (lambda: f1_weights(Y == 1, Y[:2]), "targets and pred must have"),
        (lambda: dinkelbach_threshold(Z, Y[:2]), "targets and probs must have"),
        (lambda: dinkelbach_threshold(Z[None], Y[None]), r"shape \(n,\)"),
        (lambda: dinkelbach_threshold(Z, Y, iters=0), "iters at least 1"),
        (lambda: smooth_f1_fixed_point(Z, Z), "some mass on"),
        (lambda: smooth_f1_fixed_point(Z, Z[:2]), "density and eta must have"),
        (lambda: ball_margins(torch.eye(3), -torch.ones(3)), "not be negative"),
        (lambda: ball_margins(torch.eye(3), torch.ones(2)), r"radius of shape \(K,\)"),
        (lambda: width_and_shift(torch.ones(2, 3)), r"shape \(K, K\)"),
        (lambda: margin_threshold(Z, Z[:2]), "m_neg and m_pos must have"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: smooth_accuracy_loss(Y, Y),
        lambda: gce_loss(Z, [0, 1, 0]),
        lambda: smooth_fbeta_loss(Y, Y),
        lambda: f1_weights(Y, Y),
        lambda: f1_weights([True], Y),
        lambda: effective_weight(torch.sigmoid, Y),
        lambda: logit_adjusted_weight(Y, 1.0),
        lambda: dinkelbach_threshold(Y, Y),
    ],
)
def test_wrong_types_are_refused(call):
    with pytest.raises(TypeError, match=r"must be"):
        call()
