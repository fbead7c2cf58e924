"""Logit adjustment: claims not on the page, peers, gradients, bad input, properties."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special
from scipy.special import ndtr
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import WeightedRandomSampler

from kexue import claims, datasets
from kexue.losses.logit_adjustment import (
    LogitAdjustedLoss,
    adjust_logits,
    balanced_error,
    class_balanced_weights,
    gaussian_balanced_error,
    log_prior,
    logit_adjusted_loss,
    margins_equalized,
    margins_ldam,
    margins_logit_adjusted,
    pairwise_margin_loss,
    pmi_matrix,
    smooth_recalls,
    tau_of_threshold,
    vs_loss,
)
from kexue.randomness import generator, rng, seeded
from kexue.training import minimize

COUNTS = [600, 250, 100, 40, 10]
PRIOR = log_prior(COUNTS)


def normal(*shape, number=0, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(*shape, generator=generator(number), dtype=dtype)


def labels(*shape, number=1, num_classes=5):
    return torch.randint(num_classes, shape, generator=generator(number))


# Claims that are not on the page


def test_cross_entropy_is_a_soft_margin():
    """eq-ce-margin: softmax in terms of gaps; the class itself is no rival."""
    f = sp.symbols("f:4", real=True)
    gaps = [sp.exp(other - f[0]) for other in f[1:]]
    softmax = sum(map(sp.exp, f)) / sp.exp(f[0])
    wrong = {"y itself in the sum": 2 + sum(gaps)}
    claims.identity("eq-ce-margin", softmax, 1 + sum(gaps), controls=wrong)


def test_cross_entropy_with_itself_in_the_sum():
    """eq-ce-margin: numerically, where the wrong version is off by up to log 2."""
    logits, targets = normal(1000, 5, scale=5.0), labels(1000)
    own = logits.gather(1, targets[:, None])
    gaps = (logits - own).exp()
    claims.equal(
        "eq-ce-margin",
        F.cross_entropy(logits, targets, reduction="none"),
        gaps.scatter(1, targets[:, None], 0.0).sum(1).log1p(),
        atol=1e-12,
        controls={"y itself in the sum": gaps.sum(1).log1p()},
    )
    off = gaps.sum(1).log1p() - F.cross_entropy(logits, targets, reduction="none")
    assert 0 < off.min() < off.max() <= math.log(2)
    assert off.max() > 0.69


def test_resampling_is_weighting():
    """eq-resampling-is-weighting: the same expected gradient, another noise."""
    batches, size, counts = 4000, 32, torch.tensor([213, 59, 11, 17])
    targets = torch.repeat_interleave(torch.arange(4), counts)
    x, weights = normal(300, 6, number=2), normal(6, 4, number=3)
    error = (x @ weights).softmax(1) - F.one_hot(targets, 4)
    gradient = (x[:, :, None] * error[:, None, :]).flatten(1)  # (300, 24)
    pi = counts.double() / 300
    weighted = gradient / (4 * pi[targets, None])
    by_class = torch.stack([gradient[targets == y].mean(0) for y in range(4)])
    claims.equal(
        "eq-resampling-is-weighting",
        by_class.mean(0),
        weighted.mean(0),
        atol=1e-14,
        controls={"no weights": gradient.mean(0)},
    )

    def batch_means(values, share):
        sampler = WeightedRandomSampler(share, batches * size, generator=generator(4))
        return values[torch.tensor(list(sampler))].view(batches, size, 24).mean(1)

    uniform, oversampled = torch.ones(300), 1 / pi[targets]
    draws = batch_means(weighted, uniform), batch_means(gradient, oversampled)
    for found in draws:
        claims.estimate(
            "eq-resampling-is-weighting",
            found,
            weighted.mean(0),
            controls={"no weights": (batch_means(gradient, uniform), weighted.mean(0))},
        )
    # stratified: every class gives a quarter of the batch
    parts = [torch.nonzero(targets == y)[:, 0] for y in range(4)]
    picks = [
        part[torch.randint(len(part), (batches, size // 4), generator=generator(5 + y))]
        for y, part in enumerate(parts)
    ]
    stratified = gradient[torch.cat(picks, 1)].mean(1)
    noise = [found.var(0).sum().item() for found in (*draws, stratified)]
    exact = [
        (weighted**2).mean(0).sum() - (weighted.mean(0) ** 2).sum(),
        (gradient**2 / (4 * pi[targets, None])).mean(0).sum()
        - (weighted.mean(0) ** 2).sum(),
    ]
    for found, value in zip(noise[:2], exact, strict=True):
        assert found == pytest.approx(value.item() / size, rel=0.1)
    assert noise[0] > 1.5 * noise[1] > 1.5 * noise[2]


def test_smooth_accuracy_splits_into_recalls():
    """eq-smooth-accuracy-split: any positive p splits it, the set's own gives rates."""
    pi = PRIOR.exp()
    targets = torch.multinomial(pi, 2000, True, generator=generator(6))
    logits = normal(2000, 5, number=7) + 3 * F.one_hot(targets, 5)
    probs = logits.softmax(1)
    own = probs.gather(1, targets[:, None])[:, 0]
    frequency = torch.bincount(targets, minlength=5).double() / 2000

    def brackets(p):
        return torch.zeros(5).double().index_add(0, targets, own / p[targets]) / 2000

    uniform = torch.full((5,), 0.2).double()
    claims.equal(
        "eq-smooth-accuracy-split",
        [(p * brackets(p)).sum() for p in (frequency, uniform, pi)],
        [own.mean()] * 3,
        rtol=1e-12,
        controls={
            "sum without p": [brackets(p).sum() for p in (frequency, uniform, pi)]
        },
    )
    claims.equal(
        "eq-smooth-accuracy-split",
        smooth_recalls(probs, targets),
        brackets(frequency),
        rtol=1e-12,
        controls={"uniform prior": brackets(uniform)},
    )
    assert brackets(uniform).max() > 1.2  # no rate


def test_smooth_accuracy_is_below_accuracy():
    """eq-smooth-below-accuracy: of a calibrated model, which is needed."""
    p = rng(0).dirichlet(np.full(10, 0.3), 100_000)
    smooth, accuracy = (p**2).sum(1), p.max(1)
    uncalibrated = (np.array([0.49]), np.array([0.0]))  # label 1, p = (.49, .51)
    claims.bound(
        "eq-smooth-below-accuracy",
        smooth,
        accuracy,
        controls={"uncalibrated": uncalibrated, "squared": accuracy**2},
    )
    ratio = smooth / accuracy
    assert ratio.min() < 0.55
    assert ratio.max() > 0.98
    # equality on a uniform support
    assert np.sum(np.full(4, 0.25) ** 2) == 0.25


def test_smooth_accuracy_of_two_gaussians():
    """eq-smooth-below-accuracy: by quadrature in the world of eq-gaussian-ber."""
    mu, pi, x = math.sqrt(2), 0.05, np.linspace(-12, 12, 240_001)
    common, rare = (np.exp(-((x - m) ** 2) / 2) / math.tau**0.5 for m in (-mu, mu))
    total = pi * rare + (1 - pi) * common
    eta, step = pi * rare / total, x[1] - x[0]
    smooth = np.sum((eta**2 + (1 - eta) ** 2) * total) * step
    best = np.sum(np.maximum(eta, 1 - eta) * total) * step
    claims.bound(
        "eq-smooth-below-accuracy", smooth, best, controls={"reversed": (best, smooth)}
    )
    assert [smooth, best] == pytest.approx([0.9625, 0.9756], abs=1e-4)
    recalls = [np.sum(h * rare) * step for h in (eta, eta > 0.5, eta > pi)]
    assert recalls == pytest.approx([0.625, 0.646, 0.921], abs=1e-3)


def test_limits_of_the_effective_number():
    """eq-class-balanced-weights: 1/n as beta goes to 1, no weights at beta = 0."""
    beta, n = sp.symbols("beta n", positive=True)
    weight, slip = (1 - beta) / (1 - beta**n), (1 - beta) / beta**n
    claims.identity(
        "eq-class-balanced-weights",
        sp.Matrix([sp.limit(weight, beta, 1), weight.subs(beta, 0)]),
        sp.Matrix([1 / n, 1]),
        controls={
            "1 forgotten": (sp.Matrix([sp.limit(slip, beta, 1)]), sp.Matrix([1 / n]))
        },
    )
    counts = torch.tensor([1.0, 3, 1000])
    for near_one in (1 - 1e-9, 1.0):
        found = class_balanced_weights(counts, near_one)
        assert found.tolist() == pytest.approx((1 / counts).tolist(), rel=1e-5)
    assert class_balanced_weights(counts, 0.0).tolist() == [1, 1, 1]
    assert class_balanced_weights(counts, 0.9)[1].item() == pytest.approx(0.1 / 0.271)


def test_a_floor_inside_the_log_is_a_wrong_prior():
    """stmt-prior-floors: published floors against tau log pi in float64."""
    pi, tau = np.array([1e-4, 1e-9]), np.array([4.0, 1.0])
    exact = [-36.8414, -20.7233]
    ours = [tau[i] * log_prior([pi[i], 1 - pi[i]])[0].item() for i in range(2)]
    with_floor = np.log(pi**tau + 1e-12)[0], np.log(pi + 1e-8)[1]
    claims.equal(
        "stmt-prior-floors",
        ours,
        exact,
        atol=1e-3,
        controls={"floors 1e-12 and 1e-8": with_floor},
    )
    assert with_floor == pytest.approx((-27.6, -18.3), abs=0.05)
    # and the count itself is noisy: log n of a Poisson number with mean 3, if not 0
    n = np.arange(1, 60)
    share = np.exp(n * np.log(3) - 3 - np.array([math.lgamma(k + 1) for k in n]))
    share /= share.sum()
    mean = np.sum(share * np.log(n))
    sd = math.sqrt(np.sum(share * (np.log(n) - mean) ** 2))
    assert sd == pytest.approx(0.56, abs=0.01)


def newton(x, y, offset=0.0, weight=1.0, ridge=0.0):
    """Logistic regression of each data set: x (S, N, 3), y (S, N)."""
    w, ridge = np.zeros((len(x), 3, 1)), ridge * np.eye(3)
    for _ in range(12):
        p = special.expit((x @ w)[..., 0] + offset)
        slope = x.mT @ (weight * (p - y))[..., None] + ridge @ w
        bend = x.mT @ ((weight * p * (1 - p))[..., None] * x) + ridge
        w -= np.linalg.solve(bend, slope)
    return w[..., 0]


def line_error(w, covariance=((1, 0), (0, 1))):
    """Exact balanced error of lines between N((1, 1), covariance) and N(-(1, 1), I)."""
    across = w[:, 0] + w[:, 1]
    rare = np.sqrt(np.einsum("si,ij,sj->s", w[:, :2], covariance, w[:, :2]))
    common = np.linalg.norm(w[:, :2], axis=1)
    missed, alarms = (-across - w[:, 2]) / rare, (-across + w[:, 2]) / common
    return (ndtr(missed) + ndtr(alarms)) / 2


def gaussian_worlds(root=((1, 0), (0, 1)), worlds=30, size=10_000, share=0.05):
    """Data sets with a rare class at (1, 1), of covariance root root^T."""
    g = rng(10)
    y = (g.random((worlds, size)) < share).astype(float)
    noise = g.normal(size=(worlds, size, 2))
    noise = np.where(y[..., None] == 1, noise @ np.transpose(root), noise)
    x = noise + (2 * y - 1)[..., None]
    return np.concatenate([x, np.ones((worlds, size, 1))], axis=2), y


LOGIT = special.logit(0.05)
BIAS = np.array([0, 0, LOGIT])


def test_prior_is_absorbed_by_a_free_bias():
    """eq-absorbed-by-bias: the same problem, shifted; not with weights or a penalty."""
    x, y = gaussian_worlds()
    plain, adjusted = newton(x, y), newton(x, y, LOGIT)
    weighted = newton(x, y, weight=np.where(y == 1, 1 / 0.05, 1 / 0.95))
    penalised = [newton(x, y, offset, ridge=100.0) for offset in (LOGIT, 0.0)]
    claims.equal(
        "eq-absorbed-by-bias",
        adjusted,
        plain - BIAS,
        atol=1e-9,
        controls={
            "class weights": (weighted, plain - BIAS),
            "penalty on the bias": (penalised[0], penalised[1] - BIAS),
        },
    )
    # the fits are where the closed form puts them
    law = gaussian_balanced_error(2**0.5, 1, 0.05, [0, 1])
    assert law == pytest.approx([0.1808, 0.0786], abs=1e-4)
    assert line_error(plain).mean() == pytest.approx(law[0], abs=0.005)
    assert (law[1] <= line_error(adjusted)).all()
    assert line_error(adjusted).mean() == pytest.approx(law[1], abs=5e-4)
    assert line_error(weighted).mean() == pytest.approx(law[1], abs=5e-4)


def test_a_wrong_model_prefers_weights():
    covariance = np.array([[4, 1.5], [1.5, 1]])
    x, y = gaussian_worlds(np.linalg.cholesky(covariance), 12, 60_000)
    weighted = newton(x, y, weight=np.where(y == 1, 1 / 0.05, 1 / 0.95))
    gain = line_error(newton(x, y, LOGIT), covariance) - line_error(
        weighted, covariance
    )
    assert gain.mean() > 3 * gain.std() / 12**0.5


def test_separable_data_wash_out_what_is_added():
    """stmt-separable-limit: weights and offsets end at the SVM, factors do not."""
    g, rare, log_odds = rng(3), np.arange(210) < 10, math.log(10 / 200)
    label = np.where(rare, 1, -1)[:, None]
    x = 0.5 * g.normal(size=(210, 2)) + 1.5 * label
    z = label * np.column_stack([x, np.ones(210)])

    def svm(margin):
        wide = {"type": "ineq", "fun": lambda w: z @ w - margin}
        found = optimize.minimize(lambda w: w @ w / 2, np.ones(3), constraints=wide)
        assert found.success
        return found.x / np.linalg.norm(found.x)

    factor, log_weight = np.ones((4, 210)), np.zeros((4, 210))
    factor[3, rare], log_weight[1, rare] = math.exp(0.3 * log_odds), -log_odds
    offset = np.array([0, 0, 1, 0])[:, None] * np.where(rare, -log_odds, log_odds)
    hard, scaled = svm(np.ones(210)), svm(1 / factor[3])
    w, angles = np.zeros((4, 3)), {}
    for step in range(1, 10_001):
        # logarithms, for the slopes fall below the smallest float
        slope = log_weight - np.logaddexp(0, factor * (w @ z.T) - offset)
        move = np.exp(slope - slope.max(1, keepdims=True)) @ z
        w = w + 0.1 * move / np.linalg.norm(move, axis=1, keepdims=True)
        if step in (100, 10_000):
            unit = w / np.linalg.norm(w, axis=1, keepdims=True)
            chords = [np.linalg.norm(unit - to, axis=1) for to in (hard, scaled)]
            angles[step] = np.degrees(2 * np.arcsin(np.array(chords) / 2))
    to_svm, to_scaled = angles[10_000]
    claims.bound(
        "stmt-separable-limit",
        [*to_svm[:3], to_scaled[3]],
        1.5,
        controls={"factor, to the SVM": (to_svm[3], 1.5)},
    )
    early = angles[100][0]
    assert early[2] > early[0] + 3  # the offset does count at first
    assert (to_svm[:3] < early[:3] / 3).all()


def test_bigrams():
    """exp-bigram-pmi: with the prior in the softmax the products follow PMI."""
    words = re.findall("[a-z]+", " ".join(datasets.python_topics().values()).lower())
    number = {w: i for i, (w, _) in enumerate(Counter(words).most_common(300))}
    ids = np.array([number.get(word, -1) for word in words])
    pairs = np.zeros((300, 300))
    for gap in (1, 2):
        one, two = ids[:-gap], ids[gap:]
        known = (one >= 0) & (two >= 0)
        np.add.at(pairs, (one[known], two[known]), 1)
    p = (pairs + 0.1) / (pairs + 0.1).sum()
    p_x, p_y, pmi = p.sum(1), p.sum(0), pmi_matrix(pairs, 0.1)
    log_y = torch.tensor(np.log(p_y))
    offset = torch.stack([log_y, 0 * log_y])[:, None, None].float()
    target = torch.tensor(p).float()
    starts = [generator(seed) for seed in range(5)]
    begin = [
        torch.stack([0.1 * torch.randn(300, 16, generator=g) for g in starts])
        for _ in "uv"
    ]
    u, v = minimize(
        lambda u, v: -(target * (u @ v.mT + offset).log_softmax(-1)).sum(),
        [start.repeat(2, 1, 1, 1) for start in begin],
        steps=200,
        lr=0.05,
    )
    adjusted, plain = (u @ v.mT).double().numpy()

    def correlation(f):  # weights p(x) p(y), means of the contexts removed
        a, b = (z - (z @ p_y)[..., None] for z in (f, pmi))
        ab, aa, bb = (z @ p_y @ p_x for z in (a * b, a * a, b * b))
        return ab / np.sqrt(aa * bb)

    afterwards = correlation(plain - np.log(p_y))
    claims.outcome(
        "exp-bigram-pmi",
        correlation(adjusted),
        correlation(plain),
        margin=0.05,
        controls={"subtracted afterwards": (correlation(adjusted), afterwards)},
    )
    assert np.abs(afterwards - correlation(adjusted)).max() < 0.03


# More of the claims that are on the page


def test_family_in_symbols():
    """All members have slope 0 at PMI; without the weights only one has."""
    u, pi, eta, d = (sp.symbols(f"{name}:3", positive=True) for name in "upnd")
    total = sum(a * v for a, v in zip(d, u, strict=True))
    at_pmi = {v: a / p for v, a, p in zip(u, eta, pi, strict=True)}
    for weight, zero in (
        ([a / p for a, p in zip(d, pi, strict=True)], True),
        (d, False),
    ):
        risk = sum(
            e * a * (sp.log(total) - sp.log(v))
            for e, a, v in zip(eta, weight, u, strict=True)
        )
        slopes = [sp.cancel((v * risk.diff(v)).subs(at_pmi)) for v in u]
        assert all(slope == 0 for slope in slopes) == zero


def test_constant_of_the_logits_is_free():
    """Any f = log p(x|y) + c gives the posterior, and PMI - f does not depend on y."""
    likelihood, pi = sp.symbols("l:3", positive=True), sp.symbols("pi:3", positive=True)
    c = sp.Symbol("c", real=True)
    joint = [p * v for p, v in zip(pi, likelihood, strict=True)]
    for p, v, j in zip(pi, likelihood, joint, strict=True):
        learned = p * v * sp.exp(c) / sum(k * sp.exp(c) for k in joint)
        assert sp.simplify(learned - j / sum(joint)) == 0
        pmi = sp.log(v) - sp.log(sum(joint))
        rest = -c - sp.log(sum(joint))
        assert sp.simplify(pmi - (sp.log(v) + c) - rest) == 0


def test_negative_sampling_has_no_free_constant():
    """Its optimum is PMI - log k."""
    p, q, k, u = sp.symbols("p q k u", positive=True)  # u = exp(f)
    risk = p * sp.log(1 + 1 / u) + k * q * sp.log(1 + u)
    assert sp.solve(risk.diff(u), u) == [p / (k * q)]


@pytest.mark.parametrize(
    ("delta", "weight"),
    [
        (margins_logit_adjusted(PRIOR), None),
        (torch.zeros(5, 5).double(), (-PRIOR).exp()),
    ],
)
def test_pairwise_loss_is_stationary_at_pmi(delta, weight):
    eta = torch.tensor(rng(5).dirichlet(np.ones(5), 20))
    f = (eta.log() - PRIOR).requires_grad_()
    each = f[:, None].expand(-1, 5, -1)  # every x with every class
    targets = torch.arange(5).expand(20, -1)
    losses = pairwise_margin_loss(each, targets, delta, weight, reduction="none")
    (slope,) = torch.autograd.grad((eta * losses).sum(), f)
    assert slope.abs().max() < 1e-12


def test_right_rule_under_another_prior():
    """Accuracies of f + log q in the Gaussian world, and of the prior left in."""
    mu, log_odds = math.sqrt(2), special.logit(0.05)

    def accuracy(q, cut):  # positive where x > cut
        return q * ndtr(mu - cut) + (1 - q) * ndtr(mu + cut)

    q = np.array([0.05, 0.2, 0.5, 0.9])
    right = accuracy(q, -special.logit(q) / (2 * mu))
    assert right == pytest.approx([0.9756, 0.9417, 0.9214, 0.9610], abs=1e-4)
    left_in = accuracy(q, -log_odds / (2 * mu))
    assert left_in == pytest.approx([0.9756, 0.9235, 0.8192, 0.6802], abs=1e-4)


def test_bias_that_starts_at_the_prior_takes_the_same_steps():
    x, y = (
        normal(60, 4),
        torch.multinomial(PRIOR.exp(), 60, True, generator=generator(2)),
    )
    begin = [normal(4, 8, number=3), normal(8, 5, number=4) / 3]

    def scores(W, V, c):
        return torch.tanh(x @ W) @ V + c

    shifted = minimize(
        lambda *net: F.cross_entropy(scores(*net), y),
        [*begin, PRIOR],
        steps=60,
        lr=0.01,
    )
    adjusted = minimize(
        lambda *net: logit_adjusted_loss(scores(*net), y, PRIOR),
        [*begin, 0 * PRIOR],
        steps=60,
        lr=0.01,
    )
    torch.testing.assert_close(scores(*shifted), scores(*adjusted) + PRIOR)
    assert (shifted[0] - begin[0]).abs().max() > 0.05


def test_language_model_takes_the_criterion():
    """Vocabulary for classes, unigram counts for the prior, any leading shape."""
    with seeded(0):
        embed, head = torch.nn.Embedding(50, 16), torch.nn.Linear(16, 50)
        body = torch.nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    tokens = labels(2, 11, num_classes=50)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(10)
    logits = head(body(embed(tokens[:, :-1]), mask))
    criterion = LogitAdjustedLoss(
        log_prior(torch.bincount(tokens.flatten(), minlength=50), smoothing=0.1)
    )
    loss = criterion(logits, tokens[:, 1:])
    loss.backward()
    assert loss.isfinite()
    assert embed.weight.grad.abs().sum() > 0


# Peers


def test_class_weights_agree_with_pytorch():
    logits, targets = normal(200, 5), labels(200)
    weight = 1 / PRIOR.exp()
    no_margin = torch.zeros(5, 5, dtype=torch.float64)
    for reduction in ("none", "sum"):
        torch.testing.assert_close(
            pairwise_margin_loss(
                logits, targets, no_margin, weight, reduction=reduction
            ),
            F.cross_entropy(logits, targets, weight, reduction=reduction),
        )
    mean = pairwise_margin_loss(logits, targets, no_margin, weight)
    rescaled = weight[targets].mean() * F.cross_entropy(logits, targets, weight)
    torch.testing.assert_close(mean, rescaled)


def test_balanced_logistic_regression_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    targets = (torch.arange(400) < 40).long()
    x = normal(400, 2) + targets[:, None]
    model = linear_model.LogisticRegression(
        class_weight="balanced", C=1e8, tol=1e-10, max_iter=1000
    ).fit(x.numpy(), targets.numpy())
    design = torch.cat([x, torch.ones(400, 1).double()], 1)
    weight = 400 / (2 * torch.bincount(targets)).double()
    no_margin = torch.zeros(2, 2, dtype=torch.float64)

    def risk(w):
        logits = torch.stack([torch.zeros(400).double(), design @ w], 1)
        return pairwise_margin_loss(logits, targets, no_margin, weight)

    w = torch.zeros(3, dtype=torch.float64)
    for _ in range(15):
        gradient = torch.autograd.functional.jacobian(risk, w)
        w = w - torch.linalg.solve(torch.autograd.functional.hessian(risk, w), gradient)
    expected = [*model.coef_[0], model.intercept_[0]]
    assert w.tolist() == pytest.approx(expected, abs=1e-6)


def test_threshold_classifier_of_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection")
    linear_model = pytest.importorskip("sklearn.linear_model")
    targets = (torch.arange(400) < 40).long()
    x = normal(400, 2) + targets[:, None]
    model = linear_model.LogisticRegression().fit(x.numpy(), targets.numpy())
    logits = torch.from_numpy(model.predict_log_proba(x.numpy()))
    for threshold in (0.05, 0.1, 0.2, 0.5):
        fixed = selection.FixedThresholdClassifier(model, threshold=threshold)
        tau = tau_of_threshold(threshold, 0.1)
        ours = adjust_logits(logits, log_prior([360, 40]), tau=tau).argmax(1)
        theirs = fixed.fit(x.numpy(), targets.numpy()).predict(x.numpy())
        assert ours.tolist() == theirs.tolist()


def test_balanced_error_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    found, targets = labels(3, 200, number=8), labels(3, 200, number=9)
    scores = [
        metrics.balanced_accuracy_score(*pair)
        for pair in zip(targets, found, strict=True)
    ]
    assert (1 - balanced_error(found, targets, 5)).tolist() == pytest.approx(scores)


# One family


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_losses_coincide_where_they_should(tau):
    logits, targets = normal(4, 50, 5), labels(4, 50)
    expected = logit_adjusted_loss(logits, targets, PRIOR, tau=tau, reduction="none")
    assert expected.shape == (4, 50)
    margins = margins_logit_adjusted(PRIOR, tau)
    found = [
        pairwise_margin_loss(logits, targets, margins, reduction="none"),
        vs_loss(logits, targets, PRIOR, tau, 0.0, reduction="none"),
        LogitAdjustedLoss(PRIOR, tau=tau, reduction="none")(logits, targets),
    ]
    for losses in found:
        torch.testing.assert_close(losses, expected)
    if tau == 0:
        plain = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        torch.testing.assert_close(expected.mean(), plain)


def test_diagonal_of_the_margins_does_not_count():
    logits, targets = normal(20, 5), labels(20)
    delta = normal(5, 5, number=2)
    torch.testing.assert_close(
        pairwise_margin_loss(logits, targets, delta),
        pairwise_margin_loss(logits, targets, delta + 7 * torch.eye(5)),
    )


def test_margins_against_the_definition():
    logits, targets = normal(20, 5), labels(20)
    for delta in (margins_ldam(COUNTS, 0.5), margins_equalized(PRIOR)):
        assert delta.diagonal().eq(0).all()
        expected = [
            math.log1p(
                sum(math.exp(delta[y, j] + f[j] - f[y]) for j in range(5) if j != y)
            )
            for f, y in zip(logits, targets, strict=True)
        ]
        found = pairwise_margin_loss(logits, targets, delta, reduction="none")
        assert found.tolist() == pytest.approx(expected)


@given(st.floats(-3, 3), st.floats(-50, 50))
def test_adjusting_and_training_with_the_prior_are_inverse(tau, shift):
    logits = normal(10, 5) + shift
    back = adjust_logits(logits + tau * PRIOR, PRIOR, tau=tau)
    torch.testing.assert_close(back, logits)
    targets = labels(10)
    torch.testing.assert_close(  # a common shift changes nothing
        logit_adjusted_loss(logits, targets, PRIOR, tau=tau),
        logit_adjusted_loss(logits - shift, targets, PRIOR, tau=tau),
    )


def test_another_test_prior():
    joint = torch.tensor(rng(3).dirichlet(np.ones(30), 5).T)  # p(x|y)
    new = log_prior([1, 2, 3, 4, 5])
    logits = joint.log() + PRIOR
    found = adjust_logits(logits, PRIOR, test_log_prior=new)
    assert torch.equal(found.argmax(1), (joint * new.exp()).argmax(1))
    absent = torch.tensor([0.5, 0.5, 0, 0, 0], dtype=torch.float64).log()
    assert adjust_logits(logits, PRIOR, test_log_prior=absent).argmax(1).max() <= 1


@given(st.floats(0.1, 5), st.floats(0.1, 5), st.floats(0.001, 0.999), st.floats(-3, 3))
def test_gaussian_balanced_error_is_symmetric(mu, sigma, pi, tau):
    found = gaussian_balanced_error(mu, sigma, pi, [tau, 2 - tau, 1.0])
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    assert found[2] == pytest.approx(ndtr(-mu / sigma), rel=1e-12)
    assert found[2] <= found[0] * (1 + 1e-12)


def test_pmi_of_independent_and_of_tied_words():
    p = rng(4).dirichlet(np.ones(6))
    assert np.abs(pmi_matrix(1000 * np.outer(p, p))).max() < 1e-12
    tied = pmi_matrix(np.diag([1, 3]))
    assert tied[0, 0] == pytest.approx(math.log(4))
    assert tied[0, 1] == -np.inf


def test_absent_class_has_no_recall():
    found = smooth_recalls(torch.tensor([[0.7, 0.3]]), torch.tensor([0]))
    assert found[0].item() == pytest.approx(0.7)
    assert found[1].isnan()


# Gradients, dtypes, extremes


def test_gradients():
    logits = normal(3, 2, 5).requires_grad_()
    delta = normal(5, 5, number=1).requires_grad_()
    weight = normal(5, number=2).exp().requires_grad_()
    targets = labels(3, 2)
    check = torch.autograd.gradcheck
    assert check(lambda f: logit_adjusted_loss(f, targets, PRIOR, tau=1.3), (logits,))
    assert check(
        lambda f, d, w: pairwise_margin_loss(f, targets, d, w), (logits, delta, weight)
    )
    assert check(lambda f: vs_loss(f, targets, PRIOR, 1.0, 0.3), (logits,))


ALL = {
    "adjusted": lambda f, y: logit_adjusted_loss(f, y, PRIOR, reduction="none"),
    "pairwise": lambda f, y: pairwise_margin_loss(
        f, y, margins_ldam(COUNTS, 0.5), 1 / PRIOR.exp(), reduction="none"
    ),
    "vs": lambda f, y: vs_loss(f, y, PRIOR, 1.0, 0.2, reduction="none"),
}


@pytest.mark.parametrize("name", ALL)
def test_dtypes_shapes_and_extremes(name):
    loss = ALL[name]
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for shape in ((), (4,), (2, 3)):
            found = loss(normal(*shape, 5).to(dtype), labels(*shape).int())
            assert found.dtype == dtype
            assert found.shape == shape
    logits = (1e4 * torch.tensor([[1.0, -1, 1, -1, 0], [-1, 1, 1, 0, -1]])).double()
    logits.requires_grad_()
    found = loss(logits, torch.tensor([4, 0]))
    found.sum().backward()
    assert found.isfinite().all()
    assert logits.grad.isfinite().all()


def test_module_has_a_buffer_and_a_name():
    criterion = LogitAdjustedLoss(PRIOR, tau=0.5)
    assert list(criterion.state_dict()) == ["log_prior"]
    assert repr(criterion) == "LogitAdjustedLoss(5 classes, tau=0.5, mean)"
    assert criterion.log_prior is not PRIOR


# Bad input

F3, Y = torch.zeros(2, 3), torch.tensor([0, 2])
P3 = log_prior([2, 1, 1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: log_prior([1, 0, 2]), ValueError, "0 for class 1"),
        (lambda: log_prior([1, 2, -1]), ValueError, "got -1 for class 2"),
        (lambda: log_prior([1, math.nan]), ValueError, "got nan for class 1"),
        (lambda: log_prior([[1, 2]]), ValueError, r"shape \(K,\).* got \(1, 2\)"),
        (lambda: log_prior([1, 2], smoothing=-1), ValueError, "smoothing .* got -1"),
        (lambda: logit_adjusted_loss(F3, Y, P3[:2]), ValueError, r"shape \(3,\), got"),
        (lambda: logit_adjusted_loss(F3, Y, P3 + 1), ValueError, "sum-exp of 1 inst"),
        (lambda: logit_adjusted_loss(F3, Y, P3.exp()), ValueError, "normalised"),
        (
            lambda: logit_adjusted_loss(F3, Y, torch.tensor([0.0, -math.inf, -9])),
            ValueError,
            "finite, got -inf for class 1",
        ),
        (lambda: logit_adjusted_loss(F3, Y, [0.0] * 3), TypeError, "got list"),
        (lambda: logit_adjusted_loss(F3, Y + 1, P3), ValueError, r"0\.\.2, got 3"),
        (lambda: logit_adjusted_loss(F3, Y / 2, P3), TypeError, "targets .* integers"),
        (lambda: logit_adjusted_loss(F3, Y[:1], P3), ValueError, r"shape \(2,\)"),
        (lambda: logit_adjusted_loss(F3.long(), Y, P3), TypeError, "logits"),
        (
            lambda: logit_adjusted_loss(F3, Y, P3, reduction="avg"),
            ValueError,
            "reduction .* 'avg'",
        ),
        (lambda: LogitAdjustedLoss(P3 + 1), ValueError, "normalised"),
        (
            lambda: pairwise_margin_loss(F3, Y, torch.zeros(3)),
            ValueError,
            r"delta must have shape \(3, 3\), got \(3,\)",
        ),
        (
            lambda: pairwise_margin_loss(F3, Y, torch.zeros(3, 3), torch.ones(2)),
            ValueError,
            r"weight must have shape \(3,\), got \(2,\)",
        ),
        (lambda: margins_ldam([1, 0], 0.5), ValueError, "positive, got 0 for class 1"),
        (lambda: margins_equalized(P3 + 1), ValueError, "normalised"),
        (lambda: class_balanced_weights([1, 2], 1.5), ValueError, "beta .* got 1.5"),
        (
            lambda: adjust_logits(F3, P3, test_log_prior=P3[:2]),
            ValueError,
            "test_log_prior must have shape",
        ),
        (
            lambda: balanced_error(Y, torch.tensor([0, 0]), 3),
            ValueError,
            "none of class 1",
        ),
        (lambda: balanced_error(Y, Y[:1], 3), ValueError, "same shape"),
        (lambda: balanced_error(Y, Y, 2), ValueError, r"0\.\.1, got 2"),
        (lambda: smooth_recalls(F3 + 2, Y), ValueError, r"\[0, 1\], got"),
        (lambda: smooth_recalls(F3[0], Y), ValueError, r"\(N, K\), got \(3,\)"),
        (lambda: tau_of_threshold(1.0, 0.1), ValueError, "threshold .* got 1.0"),
        (lambda: tau_of_threshold(0.1, 0.5), ValueError, "0.5"),
        (lambda: gaussian_balanced_error(0, 1, 0.1, 1), ValueError, "mu .* got 0"),
        (lambda: gaussian_balanced_error(1, 1, 1.0, 1), ValueError, "pi must lie"),
        (lambda: pmi_matrix([[1, 0], [2, 0]]), ValueError, "empty row or column"),
        (lambda: pmi_matrix([[1, -1]]), ValueError, "not negative"),
        (lambda: pmi_matrix([1, 2]), ValueError, r"shape \(2,\)"),
        (lambda: pmi_matrix([[1]], -1), ValueError, "smoothing .* got -1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
