"""Integrated gradients: the claims of `book/vision/integrated_gradients` that are not
on the page, parity with captum, properties, and what is refused."""

import copy
import functools
import itertools
import re

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import stats
from torch import nn
from torch.nn.functional import cross_entropy

from kexue import claims, datasets, randomness, training
from kexue.vision import integrated_gradients as ig

SEEDS = range(5)


@functools.cache
def digits(seed):
    images, labels = datasets.digits()
    images = images[:, None].astype(np.float32)
    parts = datasets.split(images, labels, randomness.rng(seed))
    return datasets.Split(*map(torch.as_tensor, parts))


@functools.cache
def classifier(seed, penalty=0.0, smooth=False):
    """A digits CNN; with a penalty on the squared input gradient of every loss."""
    data = digits(seed)
    with randomness.seeded(seed):
        net = ig.digits_cnn(nn.GELU, nn.AvgPool2d) if smooth else ig.digits_cnn()

    def loss(x, y):
        if not penalty:
            return cross_entropy(net(x), y)
        x.requires_grad_()
        each = cross_entropy(net(x), y, reduction="none")
        (slope,) = torch.autograd.grad(each.sum(), x, create_graph=True)
        return each.mean() + penalty * slope.flatten(1).square().sum(1).mean()

    training.fit(
        loss,
        torch.optim.Adam(net.parameters(), 2e-3),
        (data.x_train, data.y_train),
        epochs=8,
        generator=randomness.generator(seed),
    )
    return net.eval()


def predicted(net, x, output="logit"):
    return ig.target_score(net, net(x).argmax(1), output)


def small_net(*sizes, activation=nn.Tanh, seed=0):
    with randomness.seeded(seed):
        layers = [
            layer
            for one, two in itertools.pairwise(sizes)
            for layer in (nn.Linear(one, two), activation())
        ]
        net = nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Flatten(0))
    return net.double().eval()


def draws(*shape, seed=0):
    return torch.randn(shape, generator=randomness.generator(seed), dtype=torch.double)


# --- claims -----------------------------------------------------------------------


def test_manipulated_gradient():
    """eq-manipulated-gradient: ripples turn the gradient, and move the integrated
    gradient by their own height only."""
    x = digits(0).x_test[:100].double()
    net = copy.deepcopy(classifier(0)).double()
    f, height, frequency = predicted(net, x), 1e-3, 2000
    sign = draws(1, 1, 8, 8, seed=1).sign()

    def rippled(p):
        return f(p) + height * (sign * (frequency * p).sin()).flatten(1).sum(1)

    with torch.no_grad():
        moved = (rippled(x) - f(x)).abs()
    claims.bound(
        "eq-manipulated-gradient",
        moved,
        height * 64,
        controls={"one ripple's height": height},
    )
    gradients = [ig.gradient(h, x).flatten(1) for h in (f, rippled)]
    few = x[:2]
    g, wavy = (
        predicted(net, few),
        lambda p: g(p) + height * (sign * (frequency * p).sin()).flatten(1).sum(1),
    )
    # a wave of 300 periods needs a thousand nodes
    integrals = [
        ig.integrated_gradients(h, few, steps=1100, batch_size=400).flatten(1)
        for h in (g, wavy)
    ]
    exact = (height * sign * (frequency * few).sin()).flatten(1)
    claims.equal(
        "eq-manipulated-gradient",
        integrals[1] - integrals[0],
        exact,
        atol=1e-6,
        controls={"the gradient": (gradients[1][:2] - gradients[0][:2], exact)},
    )
    angles = [
        torch.cosine_similarity(*maps).mean().item() for maps in (gradients, integrals)
    ]
    assert angles[0] < 0.8
    assert angles[1] > 0.99999


def test_scaled_scores():
    """stmt-scaled-scores: mixed with the uniform distribution, probabilities keep their
    order, and gradients and attributions shrink alike."""
    x, c = digits(0).x_test[:50].double(), 1e-3
    net = copy.deepcopy(classifier(0)).double()
    prob = predicted(net, x, "prob")

    def mixed(p):
        return (1 - c) / 10 + c * prob(p)

    def both(f):
        return torch.stack([ig.gradient(f, x), ig.integrated_gradients(f, x)])

    claims.equal(
        "stmt-scaled-scores",
        both(mixed),
        c * both(prob),
        atol=1e-15,
        controls={"unchanged": both(prob)},
    )
    with torch.no_grad():
        p = net(x).softmax(1)
    assert torch.equal(((1 - c) / 10 + c * p).argmax(1), p.argmax(1))


def typical_miss(net, x, rule, n):
    """Median relative residual of completeness."""
    f = predicted(net, x)
    with torch.no_grad():
        change = f(x) - f(0 * x)
    nodes, weights = ig.quadrature(rule, n)
    slopes = ig.slope(f, x, nodes, batch_size=20 * len(x))
    missed = torch.as_tensor(weights, dtype=x.dtype) @ slopes / change - 1
    return missed.abs().median().item()


def test_fewer_evaluations():
    """exp-fewer-evaluations: on a smooth net Gauss needs a tenth of the right sum's
    gradients for 0.1 %; on ReLU nets it is more accurate at equal cost, as the midpoint
    rule is. (How many gradients that saves for 1 % varies between nets from none to ten
    times.)"""
    error = {
        rule: [
            np.log2(typical_miss(classifier(seed), digits(seed).x_test[:60], rule, 16))
            for seed in SEEDS
        ]
        for rule in ("gauss", "right", "midpoint")
    }
    claims.outcome(
        "exp-fewer-evaluations",
        -np.array(error["gauss"]),
        -np.array(error["right"]),
        margin=0.25,  # bits
        controls={"than the midpoint rule": -np.array(error["midpoint"])},
    )
    smooth, x = classifier(0, smooth=True), digits(0).x_test[:16]
    gauss, midpoint, right = (
        next(n for n in sizes if typical_miss(smooth, x, rule, n) <= 1e-3)
        for rule, sizes in (
            ("gauss", (2, 3, 4, 5, 6, 7, 8, 10)),
            ("midpoint", (4, 6, 8, 10, 12, 16, 20, 24)),
            ("right", (40, 60, 80, 120, 160, 240, 480, 960)),
        )
    )
    claims.bound(
        "exp-fewer-evaluations",
        10 * gauss,
        right,
        controls={"than the midpoint rule": midpoint},
    )


def test_attribution_axioms():
    """stmt-attribution-axioms: dummy, implementation invariance and linearity hold;
    guided backpropagation fails the second."""
    x, baseline = draws(20, 4), draws(4, seed=1)
    one, two = small_net(4, 6, seed=1), small_net(4, 6, seed=2)
    attribute = functools.partial(
        ig.integrated_gradients, x=x, baseline=baseline, steps=48
    )

    def no_third(p):
        return one(p * torch.tensor([1.0, 1.0, 0.0, 1.0]))

    claims.equal(
        "stmt-attribution-axioms",
        attribute(no_third)[:, 2],
        np.zeros(20),
        controls={"another variable": attribute(no_third)[:, 1]},
    )
    mixed = attribute(lambda p: 2 * one(p) - 3 * two(p))
    claims.equal(
        "stmt-attribution-axioms",
        mixed,
        2 * attribute(one) - 3 * attribute(two),
        atol=1e-12,
        controls={"absolute values": 2 * attribute(one).abs() - 3 * attribute(two)},
    )
    doubled = small_net(4, 12, seed=1)
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(doubled[0], name).copy_(
                getattr(one[0], name).repeat_interleave(2, 0)
            )
        shares = torch.tensor([0.3, 0.7], dtype=torch.double).repeat(6)
        doubled[2].weight.copy_(one[2].weight.repeat_interleave(2, 1) * shares)
        doubled[2].bias.copy_(one[2].bias)

    def guided(u):
        """Guided backpropagation through relu(u) - relu(-u): at each ReLU only positive
        signals at positive inputs pass."""
        towards = [1.0, -1.0]  # of the two ReLUs, from the output
        passed = [max(s, 0.0) * (v > 0) for s, v in zip(towards, (u, -u), strict=True)]
        return passed[0] - passed[1]

    claims.equal(
        "stmt-attribution-axioms",
        attribute(doubled),
        attribute(one),
        atol=1e-14,
        controls={
            "guided backpropagation of u, written with ReLUs": (guided(-2.0), 1.0)
        },
    )


def test_peer_trapezoid():
    """stmt-peer-trapezoid: captum agrees on Gauss, left, right and midpoint sums; its
    trapezoid is (n - 1)/n of the rule."""
    attr = pytest.importorskip("captum.attr")
    x = draws(12, 5)
    net = small_net(5, 16, 16)
    peer = attr.IntegratedGradients(net)
    names = {
        "gauss": "gausslegendre",
        "left": "riemann_left",
        "right": "riemann_right",
        "midpoint": "riemann_middle",
    }
    ours, theirs = {}, {}
    for n in (10, 20, 50):
        for rule, method in names.items():
            ours[rule, n] = ig.integrated_gradients(net, x, steps=n, rule=rule)
            theirs[rule, n] = peer.attribute(x, n_steps=n, method=method)
        ours["trapezoid", n] = ig.integrated_gradients(
            net, x, steps=n, rule="trapezoid"
        )
        theirs["trapezoid", n] = peer.attribute(
            x, n_steps=n, method="riemann_trapezoid"
        )
    same = [key for key in ours if key[0] != "trapezoid"]
    # its nodes are float32 whatever the input is
    claims.equal(
        "stmt-peer-trapezoid",
        torch.stack([theirs[key] for key in same]),
        torch.stack([ours[key] for key in same]),
        atol=1e-6,
        controls={
            "left for right": (theirs["left", 10], ours["right", 10]),
        },
    )
    scaled = [(n - 1) / n * ours["trapezoid", n] for n in (10, 20, 50)]
    claims.equal(
        "stmt-peer-trapezoid",
        torch.stack([theirs["trapezoid", n] for n in (10, 20, 50)]),
        torch.stack(scaled),
        atol=1e-6,
        controls={
            "the trapezoid rule": torch.stack(
                [ours["trapezoid", n] for n in (10, 20, 50)]
            )
        },
    )
    with torch.no_grad():
        change = net(x) - net(0 * x)
    for n in (10, 20, 50):
        misses = [
            (maps["trapezoid", n].sum(1) - change).abs().sum() / change.abs().sum()
            for maps in (theirs, ours)
        ]
        assert misses[0] == pytest.approx(1 / n, rel=0.2)
        assert misses[1] < misses[0] / 4


def test_baseline_blindness():
    """stmt-baseline-blindness: what equals the baseline gets exactly nothing."""
    x = digits(0).x_test[:100]
    f = predicted(classifier(0), x)
    black = ig.integrated_gradients(f, x, steps=8)
    mean = ig.integrated_gradients(f, x, digits(0).x_train.mean(0), steps=8)
    share = (x == 0).float().mean().item()
    assert 0.4 < share < 0.6
    claims.equal(
        "stmt-baseline-blindness",
        black[x == 0],
        torch.zeros(int((x == 0).sum())),
        controls={"from the mean image": mean[x == 0]},
    )


def test_expected_gradients():
    """eq-expected-gradients: a random baseline and a random point of the line are
    unbiased for the mean over baselines; the mean baseline is another thing."""
    data = digits(0)
    baselines, x = data.x_train[:100], data.x_test[:1]
    f = ig.target_score(classifier(0), int(classifier(0)(x).argmax()))
    # every copy is one draw
    samples = ig.expected_gradients(
        f, x.expand(10_000, -1, -1, -1), baselines, 1, randomness.generator(5)
    )
    exact = ig.integrated_gradients(
        f,
        x.expand_as(baselines),
        baselines,
        steps=120,
        rule="midpoint",
        batch_size=3000,
    )
    from_mean = ig.integrated_gradients(f, x, baselines.mean(0), steps=96)
    # rare pixels give a mean of a few large terms, which no normal law describes
    often = ((baselines - x) != 0).float().mean(0) > 0.05
    often &= (baselines != baselines.mode(0).values).float().mean(0) > 0.05
    assert often.sum() >= 30
    claims.estimate(
        "eq-expected-gradients",
        samples[:, often],
        exact.mean(0)[often],
        controls={"from the mean image": from_mean[0][often]},
    )
    with torch.no_grad():
        change = f(x) - f(baselines).mean()
    claims.estimate(
        "eq-expected-gradients",
        samples.flatten(1).sum(1),
        change.item(),
        controls={
            "change from the mean image": (f(x) - f(baselines.mean(0, True))).item()
        },
    )


def rank_correlation(one, two):
    pairs = zip(one.flatten(1).numpy(), two.flatten(1).numpy(), strict=True)
    return np.mean([stats.spearmanr(a, b).statistic for a, b in pairs])


def test_reinitialised_head():
    """exp-reinitialised-head: with a new last layer the signed map changes, the
    absolute one hardly."""
    found = []
    for seed in SEEDS:
        net, x = classifier(seed), digits(seed).x_test[:100]
        other = copy.deepcopy(net)
        with randomness.seeded(100 + seed):
            other[-1] = nn.Linear(64, 10)
        target = net(x).argmax(1)
        scores = [ig.target_score(model, target) for model in (net, other)]
        maps = [ig.integrated_gradients(f, x, steps=8) for f in scores]
        slopes = [ig.gradient(f, x) for f in scores]
        pairs = [
            pair for kind in (maps, slopes) for pair in (kind, [m.abs() for m in kind])
        ]
        found.append([rank_correlation(*pair) for pair in pairs])
    signed, absolute, signed_slope, absolute_slope = np.array(found).T
    claims.bound(
        "exp-reinitialised-head",
        np.abs(signed),
        0.4,
        controls={"the absolute map": (absolute, 0.4)},
    )
    claims.bound(
        "exp-reinitialised-head",
        0.8,
        absolute,
        controls={
            "the signed map": signed,
            "the absolute gradient": absolute_slope,
            "the signed gradient": signed_slope,
        },
    )


def test_penalty_unsaturates():
    """exp-penalty-unsaturates: penalising the loss's input gradient raises the typical
    input gradient of the predicted probability, at equal accuracy."""
    size, accuracy = {}, {}
    for penalty in (0.0, 0.1):
        rows = []
        for seed in SEEDS[:3]:
            net, data = classifier(seed, penalty), digits(seed)
            slope = ig.gradient(predicted(net, data.x_test, "prob"), data.x_test)
            right = net(data.x_test).argmax(1) == data.y_test
            rows.append(
                (slope.flatten(1).norm(dim=1).median().item(), right.double().mean())
            )
        size[penalty], accuracy[penalty] = np.array(rows).T
    claims.bound(
        "exp-penalty-unsaturates",
        2 * size[0.0],
        size[0.1],
        controls={"no penalty": size[0.0]},
    )
    assert accuracy[0.1].mean() > accuracy[0.0].mean() - 0.02


# --- properties and parity --------------------------------------------------------


@pytest.mark.parametrize("rule", ["right", "left", "midpoint", "gauss"])
def test_fewer_evaluations_than_captum_on_a_smooth_net(rule):
    attr = pytest.importorskip("captum.attr")
    net, x = small_net(5, 16, 16), draws(30, 5)
    calls = []

    def counted(p):
        calls.append(len(p))
        return net(p)

    with torch.no_grad():
        change = net(x) - net(0 * x)

    def misses(maps):
        return ((maps.sum(1) - change) / change).abs().median()

    sizes = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512)
    enough = next(
        n for n in sizes if misses(ig.integrated_gradients(net, x, steps=n)) < 1e-2
    )
    peer = attr.IntegratedGradients(net)
    theirs = next(
        n
        for n in sizes
        if misses(peer.attribute(x, n_steps=n, method="riemann_right")) < 1e-2
    )
    assert 3 * enough <= theirs
    ig.integrated_gradients(counted, x, steps=enough, rule=rule)
    assert calls == [enough * len(x)]


@pytest.mark.parametrize(
    ("rule", "n", "degree"),
    [
        ("gauss", 5, 9),
        ("midpoint", 5, 1),
        ("trapezoid", 5, 1),
        ("simpson", 5, 3),
        ("right", 5, 0),
        ("left", 5, 0),
    ],
)
def test_rules_are_exact_to_their_degree_and_no_further(rule, n, degree):
    nodes, weights = ig.quadrature(rule, n)
    errors = [weights @ nodes**k - 1 / (k + 1) for k in range(degree + 2)]
    np.testing.assert_allclose(errors[:-1], 0, atol=1e-15)
    assert abs(errors[-1]) > 1e-8
    assert (np.diff(nodes) > 0).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(-2, 2), st.booleans())
def test_completeness(seed, level, shared):
    net, x = small_net(3, 5, seed=seed), draws(4, 3, seed=seed)
    baseline = torch.full((3,) if shared else (4, 3), level, dtype=torch.double)
    _, residual = ig.integrated_gradients(net, x, baseline, steps=64, check=True)
    assert residual.abs().max() < 1e-9


def test_an_affine_change_of_the_input_changes_nothing():
    net, x = small_net(3, 5), draws(4, 3)
    scale = torch.tensor([2.0, -0.5, 7.0], dtype=torch.double)
    one = ig.integrated_gradients(net, x)
    two = ig.integrated_gradients(lambda p: net(p / scale - 1), (x + 1) * scale, scale)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [1, 3, 7, 20, 1000])
def test_chunks_change_nothing(size):
    x = digits(0).x_test[:7]
    f = predicted(classifier(0), x)
    whole, residual = ig.integrated_gradients(f, x, check=True)
    calls = []

    class Counted(ig.TargetScore):
        def __call__(self, points):
            calls.append(len(points))
            return super().__call__(points)

    counted = Counted(f.model, f.target)
    parts, rest = ig.integrated_gradients(counted, x, batch_size=size, check=True)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(rest, residual, rtol=0, atol=1e-5)
    assert max(calls) <= size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_are_kept_and_parameters_left_alone(dtype):
    net, x = small_net(3, 5).to(dtype), draws(4, 3).to(dtype)
    for maps in (
        ig.integrated_gradients(net, x),
        ig.gradient(net, x),
        ig.gradient_times_input(net, x, 0.5),
        ig.smoothgrad(net, x, 0.1, 3, randomness.generator(0)),
        ig.expected_gradients(net, x, x, 3, randomness.generator(0)),
        ig.slope(net, x, [0.0, 1.0]),
    ):
        assert maps.dtype == dtype
        assert not maps.requires_grad
    with torch.no_grad():  # also here
        assert ig.integrated_gradients(net, x).shape == x.shape
    assert all(weight.grad is None for weight in net.parameters())


def test_gradient_agrees_with_finite_differences():
    net, x, step = small_net(3, 5), draws(4, 3), 1e-6
    shifts = step * torch.eye(3, dtype=torch.double)
    with torch.no_grad():
        numeric = torch.stack([net(x + s) - net(x - s) for s in shifts], 1) / (2 * step)
    torch.testing.assert_close(ig.gradient(net, x), numeric, rtol=0, atol=1e-8)


def test_slope_is_what_the_rule_weighs():
    net, x, baseline = small_net(3, 5), draws(4, 3), draws(3, seed=1)
    nodes, weights = ig.quadrature("gauss", 6)
    slopes = ig.slope(net, x, nodes, baseline, batch_size=9)
    total = ig.integrated_gradients(net, x, baseline, steps=6).sum(1)
    torch.testing.assert_close(torch.as_tensor(weights) @ slopes, total)


def test_a_straight_path_is_integrated_gradients():
    net, x = small_net(3, 5), draws(4, 3)
    path = ig.path_attribution(net, lambda a: a * x, lambda a: x, 12)
    torch.testing.assert_close(path, ig.integrated_gradients(net, x, steps=12))


def test_adaptive_takes_more_nodes_where_it_must():
    x = torch.tensor([[0.1], [3.0], [40.0]], dtype=torch.double)

    def steep(p):
        return p.square().sum(1).sqrt().sin() + p[:, 0]

    found = ig.adaptive_integrated_gradients(steep, x, tol=1e-9)
    assert found.steps.tolist() == sorted(found.steps.tolist())
    assert found.steps[0] < found.steps[-1]
    assert found.converged.all()
    direct = [
        ig.integrated_gradients(steep, row[None], steps=int(n))
        for row, n in zip(x, found.steps, strict=True)
    ]
    torch.testing.assert_close(found.attribution, torch.cat(direct))
    stopped = ig.adaptive_integrated_gradients(steep, x, tol=1e-9, max_steps=8)
    assert stopped.converged.tolist() == [True, True, False]
    assert stopped.steps[-1] == 8


def test_adaptive_keeps_each_sample_with_its_target():
    x = digits(0).x_test[:30]
    f = predicted(classifier(0), x, "prob")
    found = ig.adaptive_integrated_gradients(f, x, tol=0.02, batch_size=50)
    assert len(found.steps.unique()) > 1
    assert found.converged.float().mean() > 0.9
    exact = ig.integrated_gradients(f, x, steps=256, batch_size=1000)
    gap = (found.attribution - exact).flatten(1).norm(dim=1)
    assert (gap / exact.flatten(1).norm(dim=1)).median() < 0.1


def test_smoothgrad_of_a_quadratic():
    samples = ig.smoothgrad(
        lambda p: p.square().sum(1) / 2,
        torch.ones(4000, 3, dtype=torch.double),
        0.5,
        1,
        randomness.generator(0),
    )
    assert abs(samples.std() - 0.5) < 0.05
    assert abs(samples.mean() - 1) < 0.05


def test_curves_begin_and_end_where_they_must():
    x = digits(0).x_test[:6]
    f = predicted(classifier(0), x, "prob")
    deletion, insertion = ig.deletion_insertion_curves(f, x, None, x, steps=4)
    with torch.no_grad():
        ends = torch.stack([f(x), f(0 * x)], 1)
    torch.testing.assert_close(deletion[:, [0, -1]], ends)
    torch.testing.assert_close(insertion[:, [-1, 0]], ends)
    areas = ig.deletion_insertion(f, x, None, x, steps=4)
    expected = torch.trapezoid(deletion, dx=1 / 4)
    torch.testing.assert_close(areas[0], expected)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_shapley_is_the_mean_over_orders(n):
    worth = randomness.rng(n).normal(size=2**n)
    shares = np.zeros(n)
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        joined = 0
        for player in order:
            shares[player] += worth[joined | 1 << player] - worth[joined]
            joined |= 1 << player
    np.testing.assert_allclose(ig.shapley(worth), shares / len(orders), atol=1e-13)


def test_multilinear_extension_is_an_expectation():
    worth = randomness.rng(0).normal(size=8)
    p = torch.tensor([[0.2, 0.7, 0.4]], dtype=torch.double)
    members = (np.arange(8)[:, None] >> np.arange(3)) & 1
    chance = np.where(members, p.numpy(), 1 - p.numpy()).prod(1)
    assert ig.multilinear_extension(worth)(p).item() == pytest.approx(chance @ worth)


def test_embedding_attribution_sums_or_measures():
    e = draws(2, 4, 3)
    net = small_net(12, 5)
    f = lambda p: net(p.flatten(1))  # noqa: E731
    terms = ig.integrated_gradients(f, e)
    torch.testing.assert_close(ig.embedding_attribution(f, e), terms.sum(2))
    norm = ig.embedding_attribution(f, e, reduce="norm")
    torch.testing.assert_close(norm, terms.norm(dim=2))


# --- what is refused --------------------------------------------------------------

X = torch.ones(2, 3)


def total(p):
    return p.sum(1)


REFUSED = {
    "baseline of another shape": (
        lambda: ig.integrated_gradients(total, X, torch.zeros(2)),
        ValueError,
        r"baseline must have shape (2, 3) or (3,), got (2,)",
    ),
    "baseline of another type": (
        lambda: ig.integrated_gradients(total, X, torch.zeros(3).double()),
        ValueError,
        "baseline must be torch.float32 on cpu like x, got torch.float64",
    ),
    "no steps": (
        lambda: ig.integrated_gradients(total, X, steps=0),
        ValueError,
        "steps must be at least 1, got 0",
    ),
    "half a step": (
        lambda: ig.integrated_gradients(total, X, steps=2.5),
        TypeError,
        "steps must be a whole number, got 2.5",
    ),
    "too few nodes for the rule": (
        lambda: ig.integrated_gradients(total, X, steps=1, rule="trapezoid"),
        ValueError,
        "n must be at least 2",
    ),
    "even Simpson": (
        lambda: ig.quadrature("simpson", 4),
        ValueError,
        "n must be odd for Simpson's rule, got 4",
    ),
    "unknown rule": (
        lambda: ig.integrated_gradients(total, X, rule="romberg"),
        ValueError,
        "got 'romberg'",
    ),
    "a scalar for all": (
        lambda: ig.integrated_gradients(lambda p: p.sum(), X),
        ValueError,
        "f must map 64 points to scores of shape (64,), got ()",
    ),
    "all classes": (
        lambda: ig.integrated_gradients(lambda p: p, X, steps=1),
        ValueError,
        "scores of shape (2,), got (2, 3)",
    ),
    "no tensor": (
        lambda: ig.gradient(lambda p: 3.0, X),
        ValueError,
        "got <class 'float'>",
    ),
    "detached": (
        lambda: ig.gradient(lambda p: p.detach().sum(1), X),
        ValueError,
        "f must be differentiable",
    ),
    "constant": (
        lambda: ig.gradient(lambda p: torch.ones(len(p), requires_grad=True), X),
        ValueError,
        "f must depend on its points",
    ),
    "integers": (
        lambda: ig.integrated_gradients(total, X.long()),
        TypeError,
        "x must be a float tensor, got torch.int64",
    ),
    "an array": (
        lambda: ig.gradient(total, X.numpy()),
        TypeError,
        "x must be a float tensor, got ndarray",
    ),
    "no batch": (
        lambda: ig.gradient(total, X[0]),
        ValueError,
        "x must have shape (B, ...), B > 0, got (3,)",
    ),
    "no points in a call": (
        lambda: ig.integrated_gradients(total, X, batch_size=0),
        ValueError,
        "batch_size must be at least 1, got 0",
    ),
    "a batch larger than a call": (
        lambda: ig.smoothgrad(total, X, 0.1, 2, batch_size=1),
        ValueError,
        "batch_size must be at least the number of samples, 2, got 1",
    ),
    "another number of targets": (
        lambda: ig.gradient(ig.target_score(nn.Identity(), torch.arange(3)), X),
        ValueError,
        "f has 3 targets, but x has 2 samples",
    ),
    "points that fit no target": (
        lambda: ig.target_score(nn.Identity(), torch.arange(3))(torch.ones(2, 3)),
        ValueError,
        "target has 3 entries, which 2 points are no multiple of",
    ),
    "fractional targets": (
        lambda: ig.target_score(nn.Identity(), torch.ones(2)),
        TypeError,
        "target must hold whole numbers, got torch.float32",
    ),
    "a target's name": (
        lambda: ig.target_score(nn.Identity(), "cat"),
        TypeError,
        "target must be an int or a tensor, got 'cat'",
    ),
    "two axes of targets": (
        lambda: ig.target_score(nn.Identity(), torch.ones(2, 2).long()),
        ValueError,
        "target must have shape (B,), got (2, 2)",
    ),
    "unknown output": (
        lambda: ig.target_score(nn.Identity(), 0, "loss"),
        ValueError,
        "output must be 'logit' or 'prob', got 'loss'",
    ),
    "no logits": (
        lambda: ig.gradient(ig.target_score(total, 0), X),
        ValueError,
        "model must return (2, classes) for 2 points, got (2,)",
    ),
    "baselines of another shape": (
        lambda: ig.expected_gradients(total, X, torch.ones(4, 2), 3),
        ValueError,
        "baselines must have shape (M, 3), got (4, 2)",
    ),
    "negative noise": (
        lambda: ig.smoothgrad(total, X, -0.1, 3),
        ValueError,
        "sigma must not be negative, got -0.1",
    ),
    "velocity of another shape": (
        lambda: ig.path_attribution(total, lambda a: X, lambda a: X[0]),
        ValueError,
        "velocity must have the shape of path, (2, 3), got (3,)",
    ),
    "no tolerance": (
        lambda: ig.adaptive_integrated_gradients(total, X, tol=0),
        ValueError,
        "tol must be positive, got 0",
    ),
    "scores of another shape": (
        lambda: ig.deletion_insertion(total, X, None, X[0]),
        ValueError,
        "scores must have the shape of x, (2, 3), got (3,)",
    ),
    "scores without order": (
        lambda: ig.deletion_insertion(total, X, None, X * torch.nan),
        ValueError,
        "scores must not be NaN",
    ),
    "flat embeddings": (
        lambda: ig.embedding_attribution(total, X),
        ValueError,
        "embeddings must have shape (B, L, D), got (2, 3)",
    ),
    "unknown reduction": (
        lambda: ig.embedding_attribution(total, X[None], reduce="max"),
        ValueError,
        "reduce must be 'sum' or 'norm', got 'max'",
    ),
    "places on two axes": (
        lambda: ig.slope(total, X, [[0.5]]),
        ValueError,
        "alpha must have shape (n,), n > 0, got (1, 1)",
    ),
    "no game": (
        lambda: ig.shapley([0, 1, 2]),
        ValueError,
        "values must have shape (2**n,) with n >= 1, got (3,)",
    ),
    "other players": (
        lambda: ig.multilinear_extension([0, 1])(X),
        ValueError,
        "p must have shape (N, 1), got (2, 3)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refuses(what):
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=re.escape(message)):
        call()


class Method(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def score(self, p):
        return self.layer(p).sum(1)

    def forward(self, p):
        return self.score(p)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.1),
        nn.AlphaDropout(0.1),
        nn.BatchNorm1d(3),
        nn.Sequential(nn.Linear(3, 3), nn.Dropout1d(0.5)),
    ],
)
def test_refuses_train_mode_where_it_matters(layer):
    model = Method(layer)
    for f in (model, model.score, ig.target_score(layer, 0)):
        with pytest.raises(ValueError, match="in train mode"):
            ig.integrated_gradients(f, X)
    model.eval()
    assert ig.integrated_gradients(model, X).shape == X.shape


def test_train_mode_of_harmless_modules_is_accepted():
    model = Method(nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Dropout(0)))
    assert ig.integrated_gradients(model.train(), X).shape == X.shape


def test_fit_meets_every_example_once_an_epoch_and_repeats_with_its_generator():
    seen, x = [], torch.arange(7.0)
    weight = nn.Parameter(torch.zeros(()))

    def loss(batch):
        seen.append(batch)
        return (weight - batch).square().mean()

    def run():
        sgd = torch.optim.SGD([weight], 0.0)
        return training.fit(
            loss, sgd, [x], epochs=2, batch_size=3, generator=randomness.generator(0)
        )

    assert run() == [pytest.approx(13.0)] * 2
    assert [len(batch) for batch in seen] == [3, 3, 1] * 2
    epochs = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, x)
    first = torch.cat(seen)
    seen.clear()
    run()
    assert torch.equal(torch.cat(seen), first)


@pytest.mark.parametrize(
    ("data", "epochs", "batch_size", "message"),
    [
        ((torch.ones(3), torch.ones(4)), 1, 2, "of one length, got [3, 4]"),
        ((), 1, 2, "data must be non-empty tensors"),
        ((torch.ones(0),), 1, 2, "data must be non-empty tensors"),
        ((torch.ones(3),), 0, 2, "must be at least 1, got 0 and 2"),
        ((torch.ones(3),), 1, 0, "must be at least 1, got 1 and 0"),
    ],
)
def test_fit_refuses(data, epochs, batch_size, message):
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(()))], 0.1)
    with pytest.raises(ValueError, match=re.escape(message)):
        training.fit(torch.mean, sgd, data, epochs=epochs, batch_size=batch_size)
