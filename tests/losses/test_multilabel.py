"""Losses of many labels: claims not on the page, peers, gradients, bad input."""

import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from kexue import claims, datasets
from kexue.losses.multilabel import (
    circle_loss,
    multilabel_probs,
    multilabel_softmax_loss,
    pairwise_ranking_loss,
    predict,
    soft_multilabel_softmax_loss,
    sparse_multilabel_softmax_loss,
    subset_log_partition,
    subset_softmax_loss,
    wish_loss,
)
from kexue.losses.reduction import reduce_loss
from kexue.randomness import generator, rng

LOG2 = math.log(2)


def normal(*shape, number=0, scale=1.0, dtype=torch.float64):
    return scale * torch.randn(*shape, generator=generator(number), dtype=dtype)


def labels(*shape, number=1, share=0.3):
    return torch.rand(*shape, generator=generator(number)) < share


def subset_scores(scores, size):
    """Total scores of all subsets of one size."""
    subsets = torch.tensor(list(itertools.combinations(range(len(scores)), size)))
    return scores[subsets].sum(-1) if size else torch.zeros(1, dtype=scores.dtype)


def multisets(num_classes, size):
    """Sets of at most `size` classes, filled up with class 0 (called -1 here)."""
    for count in range(size + 1):
        for chosen in itertools.combinations(range(num_classes), count):
            yield chosen, size - count


# Claims that are not on the page


@pytest.mark.parametrize("inverse_temperature", [1, 10, 100])
def test_log_sum_exp_is_a_smooth_maximum(inverse_temperature):
    """eq-smooth-max: at most log n / K above the maximum, attained by equal scores."""
    size = 10 ** torch.linspace(-2, 2, 10_000, dtype=torch.float64)[:, None]
    x = size * normal(10_000, 20)
    x[0] = 0
    excess = (inverse_temperature * x).logsumexp(1) / inverse_temperature - x.amax(1)
    claims.bound(
        "eq-smooth-max",
        excess,
        math.log(20) / inverse_temperature,
        controls={"log(n - 1)": math.log(19) / inverse_temperature},
    )
    assert excess.min() >= -1e-13
    assert excess[0] == pytest.approx(math.log(20) / inverse_temperature)


def newton(z, power_sums, size, sign=-1):
    """Right side of Newton's identity for `size` times Z of this size."""
    return sum(
        sign ** (j - 1) * z[size - j] * power_sums[j] for j in range(1, size + 1)
    )


def test_newton_identities():
    """eq-newton-partition: exact as polynomials, and the signs are needed."""
    x, z = sp.symbols("x:5", positive=True), sp.Symbol("z")
    exact = sp.Poly(sp.prod([1 + xi * z for xi in x]), z).all_coeffs()[::-1]
    power_sums = [sum(xi**j for xi in x) for j in range(6)]
    claims.identity(
        "eq-newton-partition",
        sp.Matrix([size * exact[size] for size in range(1, 6)]),
        sp.Matrix([newton(exact, power_sums, size) for size in range(1, 6)]),
        controls={
            "no signs": sp.Matrix(
                [newton(exact, power_sums, size, 1) for size in range(1, 6)]
            )
        },
    )


def test_newton_identities_lose_their_digits():
    """eq-newton-partition: on scores of spread 4 the recursion fails in float64, where
    the product of polynomials keeps all digits."""
    scores = normal(100, 12, scale=4.0)
    exact = torch.stack([subset_scores(row, 5).logsumexp(0) for row in scores])
    power_sums = [(j * scores).exp().sum(1) for j in range(6)]
    recursion = [torch.ones(100, dtype=torch.float64)]
    for size in range(1, 6):
        recursion.append(newton(recursion, power_sums, size) / size)
    claims.equal(
        "eq-newton-partition",
        subset_log_partition(scores, 5)[:, 5],
        exact,
        atol=1e-8,
        controls={"recursion": recursion[5].log()},
    )


def test_padded_subset_recursion():
    """eq-padded-subset: the filler class adds one term to each partition function."""
    x, filler = sp.symbols("x:5", positive=True), sp.Symbol("x_f", positive=True)
    plain = [
        sum(math.prod(c) for c in itertools.combinations(x, size)) for size in range(5)
    ]
    padded = [sp.Integer(1)]
    for size in range(1, 5):
        padded.append(plain[size] + filler * padded[-1])
    explicit = [
        sum(
            filler**fill * math.prod(x[i] for i in chosen)
            for chosen, fill in multisets(5, size)
        )
        for size in range(1, 5)
    ]
    claims.identity(
        "eq-padded-subset",
        sp.Matrix(padded[1:]),
        sp.Matrix(explicit),
        controls={"the filler at most once": sp.Matrix(plain[1:])},
    )


def test_padded_subset_loss_and_decoding():
    """eq-padded-subset: the loss is one softmax over the filled sets, and the best of
    them are the top K above the threshold, not all above it."""
    size, found, expected, once = 4, [], [], []
    for draw in range(50):
        scores = normal(7, number=draw, scale=2.0)
        filler = normal(1, number=1000 + draw)[0]
        sets = list(multisets(7, size))
        totals = torch.stack([scores[list(c)].sum() + f * filler for c, f in sets])
        pick = draw % len(sets)
        target = torch.zeros(7).index_fill(0, torch.tensor(sets[pick][0]).long(), 1.0)
        loss = subset_softmax_loss(scores, target, size, filler)
        found.append(loss)
        expected.append(-totals.log_softmax(0)[pick])
        filled_once = torch.tensor([f <= 1 for _, f in sets])
        once.append(totals[filled_once].logsumexp(0) - totals[pick])
    claims.equal(
        "eq-padded-subset",
        torch.stack(found),
        torch.stack(expected),
        atol=1e-12,
        controls={"the filler at most once": torch.stack(once)},
    )
    decoding = [
        decodes(normal(7, number=draw), normal(1, number=500 + draw)[0], 3)
        for draw in range(200)
    ]
    capped, without_cap = np.array(decoding).T
    claims.equal(
        "eq-padded-subset",
        capped,
        np.ones(200),
        controls={"all above the threshold": without_cap},
    )


def decodes(scores, filler, size):
    """Whether the rule with the cap, and the one without, finds the best filled set."""
    sets = list(multisets(len(scores), size))
    totals = [float(scores[list(c)].sum() + f * filler) for c, f in sets]
    best = torch.zeros(len(scores), dtype=torch.bool)
    best[list(sets[int(np.argmax(totals))][0])] = True
    return [
        torch.equal(predict(scores, filler, k_max=size), best),
        torch.equal(predict(scores, filler), best),
    ]


def test_masks():
    """stmt-masks-and-dtypes: masked classes count in neither sum, whatever their label;
    a score of -1e4 in place of a mask costs 1e4 when the label is positive."""
    logits, targets = normal(8, 30), labels(8, 30)
    mask = torch.ones(8, 30, dtype=torch.bool)
    mask[:, 20:] = False
    targets[:, 25] = True
    pushed = multilabel_softmax_loss(
        logits.masked_fill(~mask, -1e4), targets, reduction="none"
    )
    claims.equal(
        "stmt-masks-and-dtypes",
        multilabel_softmax_loss(logits, targets, mask=mask, reduction="none"),
        multilabel_softmax_loss(logits[:, :20], targets[:, :20], reduction="none"),
        atol=1e-12,
        controls={"scores of -1e4": (pushed, pushed - 1e4)},
    )
    soft = torch.rand(8, 30, generator=generator(2), dtype=torch.float64)
    torch.testing.assert_close(
        soft_multilabel_softmax_loss(logits, soft, mask=mask),
        soft_multilabel_softmax_loss(logits[:, :20], soft[:, :20]),
        rtol=0,
        atol=1e-12,
    )
    nothing = torch.zeros_like(mask)
    leaf = logits.clone().requires_grad_()
    loss = multilabel_softmax_loss(leaf, targets, mask=nothing)
    loss.backward()
    assert loss == 0
    assert (leaf.grad == 0).all()


def test_half_precision():
    """stmt-masks-and-dtypes: half precision costs digits, and no more; a mask of 1e12,
    made a float16 tensor, is inf, and 0 * inf is nan."""
    logits, targets = normal(64, scale=2.0), labels(64)
    exact = multilabel_softmax_loss(logits, targets)
    halves = {
        dtype: multilabel_softmax_loss(logits.to(dtype), targets)
        for dtype in (torch.float16, torch.bfloat16)
    }
    for dtype, half in halves.items():
        assert half.dtype == dtype
        assert abs(half / exact - 1) < 4 * torch.finfo(dtype).eps
    minus = targets.half() * torch.tensor(1e12).half()
    claims.equal(
        "stmt-masks-and-dtypes",
        halves[torch.float16],
        exact,
        rtol=4 * torch.finfo(torch.float16).eps,
        controls={"mask of 1e12": torch.logsumexp(logits.half() - minus, 0)},
    )


def test_clipped_soft_labels():
    """stmt-masks-and-dtypes: clipping t at 1e-7 leaves a loss of 1e7 where a class has
    t = 0 and s = -1e7."""
    logits = torch.tensor([-1e7, 1.0], dtype=torch.float64)
    probs = torch.tensor([0.0, 0.8], dtype=torch.float64)
    clipped = soft_multilabel_softmax_loss(logits, probs.clamp(1e-7, 1 - 1e-7))
    claims.equal(
        "stmt-masks-and-dtypes",
        soft_multilabel_softmax_loss(logits, probs),
        math.log(1 + 0.8 * math.exp(-1)) + math.log(1 + 0.2 * math.e),
        rtol=1e-12,
        controls={"t clipped at 1e-7": clipped},
    )
    assert clipped > 9_999_980


def test_circle_boundary():
    """eq-circle-unified: circle loss decides on the circle sn² + (sp − 1)² = 2 m²."""
    sn, s_p, m = sp.symbols("s_n s_p m", positive=True)
    exponent = (sn + m) * (sn - m) - (1 + m - s_p) * (s_p - (1 - m))
    claims.identity(
        "eq-circle-unified",
        exponent,
        sn**2 + (s_p - 1) ** 2 - 2 * m**2,
        controls={"radius m": sn**2 + (s_p - 1) ** 2 - m**2},
    )


@pytest.mark.parametrize("gamma", [1.0, 10.0, 100.0, 1000.0])
def test_unified_loss_is_a_smooth_hinge(gamma):
    """eq-circle-unified: within log(1 + |N||P|)/gamma above the hinge, attained when
    all gaps equal -margin."""
    margin, targets = 0.25, torch.arange(22) >= 15
    logits = torch.rand(2000, 22, generator=generator(), dtype=torch.float64) * 2 - 1
    logits[0] = torch.where(targets, margin, 0.0)
    loss = pairwise_ranking_loss(
        logits, targets.expand(2000, -1), gamma=gamma, margin=margin, reduction="none"
    )
    gap = logits[:, :15].amax(1) - logits[:, 15:].amin(1) + margin
    excess = loss / gamma - gap.clamp(min=0)
    limit = math.log(1 + 15 * 7) / gamma
    assert excess.min() >= -1e-12
    claims.bound(
        "eq-circle-unified",
        excess,
        limit,
        controls={"without the 1": math.log(15 * 7) / gamma},
    )
    assert excess[0] == pytest.approx(limit, rel=1e-12)
    unshifted = torch.logsumexp(gamma * logits[:, :15], 1)
    shifted = torch.logsumexp(gamma * (logits[:, :15] + margin), 1)
    torch.testing.assert_close(
        shifted - unshifted, torch.full((2000,), gamma * margin).double()
    )


@pytest.mark.parametrize(("n", "k"), [(10, 1), (10, 3), (100, 2), (1000, 5)])
def test_no_activation_before_the_loss(n, k):
    """stmt-no-activation: on sigmoids the loss has a floor that no scores can pass, and
    every class is predicted."""
    draws = 2500
    targets = (torch.arange(n) < k).expand(draws, n)
    size = 10 ** (3 * torch.rand(draws, 1, generator=generator(3)).double() - 1)
    raw = size * torch.where(targets, 1.0, -1.0) * (1 + normal(draws, n).abs())
    squashed = multilabel_softmax_loss(raw.sigmoid(), targets, reduction="none")
    floor = math.log(1 + n - k) + math.log(1 + k / math.e)
    claims.bound(
        "stmt-no-activation",
        floor,
        squashed,
        controls={
            "raw scores": multilabel_softmax_loss(raw, targets, reduction="none")
        },
    )
    assert predict(raw.sigmoid()).all()
    assert torch.equal(predict(raw), targets)


GROUPS = torch.tensor([0, 1, 2, 2, 1, 3, 0, 1, 0, 3])  # by shape: round, straight, ...
EDGES = torch.tensor(
    [(digit, 10 + int(group)) for digit, group in enumerate(GROUPS)]
    + [(10, 14), (11, 14), (12, 15), (13, 15)]
)


def test_hierarchy():
    """exp-hierarchy-wishes: the wish "child below parent" at least halves the images
    with a child on and its parent off, in every seed."""
    images, digit = datasets.digits()
    group = GROUPS.numpy()[digit]
    tree = np.stack([digit, 10 + group, 14 + group // 2], 1)
    target = torch.zeros(len(digit), 16).scatter_(1, torch.tensor(tree), 1.0).bool()
    x = torch.tensor(images.reshape(len(digit), -1), dtype=torch.float32)
    orders = [rng(seed).permutation(len(digit)) for seed in range(5)]
    train = torch.tensor(np.stack([order[:150] for order in orders]))
    test = torch.tensor(np.stack([order[150:] for order in orders]))

    def broken(strength):
        """Share of test images with a child on and its parent off, a seed."""
        weight = torch.zeros(5, 64, 16, requires_grad=True)
        bias = torch.zeros(5, 1, 16, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=0.03)
        for _ in range(200):
            logits = x[train] @ weight + bias
            loss = multilabel_softmax_loss(logits, target[train])
            loss = loss + strength * wish_loss(logits, EDGES)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            on = predict(x[test] @ weight + bias)
        child, parent = on[..., EDGES[:, 0]], on[..., EDGES[:, 1]]
        return (child & ~parent).any(-1).double().mean(-1)

    without, with_wishes = broken(0.0), broken(0.3)
    claims.outcome(
        "exp-hierarchy-wishes",
        without / 2,
        with_wishes,
        controls={"no wishes against themselves": without},
    )


# Figures of the page's claims that need no place there


def least(risk, n):
    """The scores at which a convex function of n scores is least."""
    logits = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits],
        max_iter=300,
        tolerance_grad=1e-11,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = risk(logits)
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach()


def expected_loss(probs, outcomes):
    """Expected hard loss, as a function of the scores."""
    return lambda logits: (
        probs
        @ multilabel_softmax_loss(
            logits.expand_as(outcomes), outcomes, reduction="none"
        )
    )


def test_soft_labels_are_fitted_by_sigmoid_of_twice_the_score():
    probs = torch.rand(6, generator=generator(), dtype=torch.float64) * 0.96 + 0.02
    logits = least(lambda s: soft_multilabel_softmax_loss(s, probs), 6)
    torch.testing.assert_close(multilabel_probs(logits), probs, rtol=0, atol=1e-6)
    assert (logits.sigmoid() - probs).abs().max() > 1e-3


@pytest.mark.parametrize(("n", "k"), [(6, 1), (6, 2), (8, 3)])
def test_random_subsets(n, k):
    subsets = torch.combinations(torch.arange(n), k)
    outcomes = torch.zeros(len(subsets), n).scatter_(1, subsets, 1.0)
    probs = torch.full((len(subsets),), 1 / len(subsets), dtype=torch.float64)
    found = least(expected_loss(probs, outcomes), n)
    expected = torch.full_like(found, 0.5 * math.log(k / (n - k)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("n", "others", "cut"), [(5, 0.05, 0.5125), (10, 0.05, 0.5242), (5, 0.2, 0.5183)]
)
def test_independent_labels_are_cut_above_one_half(n, others, cut):
    outcomes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=n))).double()
    share = torch.full((n,), others, dtype=torch.float64)
    share[0] = cut
    probs = torch.where(outcomes == 1, share, 1 - share).prod(1)
    assert least(expected_loss(probs, outcomes), n)[0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("n", "cut"), [(3, 0.438), (5, 0.393), (10, 0.348), (30, 0.285)]
)
def test_exclusive_labels_are_cut_below_one_half(n, cut):
    probs = torch.full((n,), (1 - cut) / (n - 1), dtype=torch.float64)
    probs[0] = cut
    found = least(expected_loss(probs, torch.eye(n)), n)
    assert found[0] == pytest.approx(0, abs=3e-3)


def test_threshold_enters_as_a_score():
    logits, targets = normal(1000, 30), labels(1000, 30)
    gaps = logits[:, :, None] - logits[:, None, :]
    wanted = ~targets[:, :, None] & targets[:, None, :]
    total = (gaps.exp() * wanted).sum((1, 2))
    total += ((logits - 0.7).exp() * ~targets).sum(1)
    total += ((0.7 - logits).exp() * targets).sum(1)
    loss = multilabel_softmax_loss(logits, targets, threshold=0.7, reduction="none")
    torch.testing.assert_close(loss, total.log1p(), rtol=0, atol=1e-12)


def test_soft_labels_half_everywhere():
    for n in (1, 6, 20):
        probs = torch.full((n,), 0.5, dtype=torch.float64)
        loss = soft_multilabel_softmax_loss(torch.zeros_like(probs), probs)
        assert loss == pytest.approx(2 * math.log(1 + n / 2), rel=1e-12)


def test_small_losses_keep_their_digits():
    logits = torch.tensor([20.0, -20.0, -21.0])
    exact = 2 * math.exp(-20) + math.exp(-21)
    assert multilabel_softmax_loss(logits, torch.tensor([1, 0, 0])) == pytest.approx(
        exact, rel=1e-6
    )


# Peers


def test_one_positive_is_cross_entropy():
    logits = normal(500, 20, scale=5.0)
    index = torch.randint(20, (500,), generator=generator(1))
    onehot = F.one_hot(index, 20)
    expected = F.cross_entropy(logits, index, reduction="none")
    for loss in (
        pairwise_ranking_loss(logits, onehot, reduction="none"),
        subset_softmax_loss(logits, onehot, 1, reduction="none"),
    ):
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)


def test_published_dense_form():
    logits, targets = normal(64, 200, dtype=torch.float32, scale=3.0), labels(64, 200)
    y = targets.float()
    flipped = (1 - 2 * y) * logits
    zero = torch.zeros(64, 1)
    published = torch.logsumexp(torch.cat([flipped - y * 1e12, zero], 1), 1)
    published += torch.logsumexp(torch.cat([flipped - (1 - y) * 1e12, zero], 1), 1)
    ours = multilabel_softmax_loss(logits, targets, reduction="none")
    torch.testing.assert_close(ours, published, rtol=0, atol=1e-5)


def test_below_the_mean_of_binary_losses():
    """PyTorch's MultiLabelSoftMarginLoss is the mean of the n binary losses."""
    logits, targets = normal(200, 12), labels(200, 12)
    binary = torch.nn.MultiLabelSoftMarginLoss(reduction="none")(
        logits, targets.double()
    )
    loss = multilabel_softmax_loss(logits, targets, reduction="none")
    assert (loss <= 12 * binary).all()


def test_a_loss_below_log_2_ranks_perfectly():
    metrics = pytest.importorskip("sklearn.metrics", reason="the extra `book` has it")
    targets = labels(400, 8)
    targets[:, 0], targets[:, 1] = True, False
    logits = 3 * (targets.double() - 0.5) + normal(400, 8)
    loss = pairwise_ranking_loss(logits, targets, reduction="none")
    sure = loss < LOG2
    assert 20 < sure.sum() < 380
    ranking = [
        metrics.label_ranking_loss(t[None], s[None])
        for t, s in zip(targets[sure].numpy(), logits[sure].numpy(), strict=True)
    ]
    assert max(ranking) == 0


def test_circle_loss_weights_carry_no_gradient():
    sn = torch.tensor([0.4, -0.1], requires_grad=True)
    s_p = torch.tensor([0.7], requires_grad=True)
    loss = circle_loss(sn, s_p, 8.0, 0.25)
    loss.backward()
    weights = torch.tensor([0.65, 0.15])
    exponents = 8 * weights * (sn.detach() - 0.25) - 8 * 0.55 * (0.7 - 0.75)
    torch.testing.assert_close(loss, exponents.exp().sum().log1p())
    pull = exponents.exp() / (1 + exponents.exp().sum())
    torch.testing.assert_close(sn.grad, 8 * weights * pull)
    torch.testing.assert_close(s_p.grad, -8 * 0.55 * pull.sum()[None])


# Gradients, limits, shapes, dtypes

TARGETS = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]])
INDEX = torch.tensor([[-1, -1, -1, -1], [3, 0, 1, 2], [2, -1, 0, -1]])
PAIRS = torch.tensor([[0, 1], [2, 1], [3, 0]])
LOSSES = {
    "hard": lambda s: multilabel_softmax_loss(s, TARGETS, reduction="none"),
    "masked": lambda s: multilabel_softmax_loss(
        s, TARGETS, mask=TARGETS.flip(1) == 0, reduction="none"
    ),
    "soft": lambda s: soft_multilabel_softmax_loss(
        s, TARGETS.to(s.dtype) * 0.7, reduction="none"
    ),
    "sparse": lambda s: sparse_multilabel_softmax_loss(s, INDEX, reduction="none"),
    "pairwise": lambda s: pairwise_ranking_loss(
        s, TARGETS, gamma=1.5, margin=0.2, reduction="none"
    ),
    "pairwise with wishes": lambda s: pairwise_ranking_loss(
        s, TARGETS, pairs=PAIRS, reduction="none"
    ),
    "wishes": lambda s: wish_loss(s, PAIRS, reduction="none"),
    "subsets": lambda s: subset_softmax_loss(s, TARGETS, 4, 0.5, reduction="none"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name):
    logits = normal(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(LOSSES[name], logits)
    assert torch.autograd.gradgradcheck(LOSSES[name], logits)


def test_gradients_of_probs_and_threshold():
    logits, probs = normal(3, 4), normal(3, 4, number=1).sigmoid().requires_grad_()
    assert torch.autograd.gradcheck(soft_multilabel_softmax_loss, (logits, probs))
    threshold = normal(3, number=2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t: multilabel_softmax_loss(logits, TARGETS, threshold=t), threshold
    )
    assert torch.autograd.gradcheck(
        lambda t: subset_softmax_loss(logits, TARGETS, 4, t), threshold
    )


def test_probs_of_0_and_1_have_finite_gradients():
    probs = TARGETS.double().requires_grad_()
    logits = normal(3, 4).requires_grad_()
    soft = soft_multilabel_softmax_loss(logits, probs)
    torch.testing.assert_close(
        soft, multilabel_softmax_loss(logits, TARGETS), rtol=0, atol=0
    )
    for grad in torch.autograd.grad(soft, (logits, probs)):
        assert grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_finite_at_huge_scores(name, dtype, sign):
    wide = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=dtype)
    for row in (wide, torch.full((4,), 1e4, dtype=dtype)):
        logits = (sign * row).repeat(3, 1).requires_grad_()
        loss = LOSSES[name](logits)
        loss.sum().backward()
        assert loss.dtype == dtype
        assert loss.isfinite().all()
        assert logits.grad.isfinite().all()


@settings(max_examples=50, deadline=None)
@given(
    shape=st.lists(st.integers(1, 3), max_size=3),
    n=st.integers(1, 8),
    number=st.integers(0, 10_000),
)
def test_dense_and_sparse_agree_in_any_shape(shape, n, number):
    logits = normal(*shape, n, number=number, scale=4.0)
    targets = labels(*shape, n, number=number)
    index = torch.where(targets, torch.arange(n), -1)
    shuffle = torch.randperm(n, generator=generator(number))
    dense = multilabel_softmax_loss(logits, targets, reduction="none")
    sparse = sparse_multilabel_softmax_loss(
        logits, index[..., shuffle], reduction="none"
    )
    assert dense.shape == tuple(shape)
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-12)
    # the order of the classes does not matter, and signs trade places with labels
    permuted = multilabel_softmax_loss(
        logits[..., shuffle], targets[..., shuffle], reduction="none"
    )
    torch.testing.assert_close(permuted, dense)
    mirrored = multilabel_softmax_loss(-logits, ~targets, reduction="none")
    torch.testing.assert_close(mirrored, dense)
    assert (dense >= 0).all()
    assert multilabel_softmax_loss(logits, targets) == pytest.approx(
        float(dense.mean())
    )


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), k=st.integers(0, 9), number=st.integers(0, 10_000))
def test_partition_counts_subsets(n, k, number):
    k = min(k, n)
    scores = normal(n, number=number, scale=3.0)
    exact = torch.stack(
        [torch.logsumexp(subset_scores(scores, size), 0) for size in range(k + 1)]
    )
    torch.testing.assert_close(subset_log_partition(scores, k), exact)


def test_no_positives_and_empty_index():
    logits = normal(5, 7)
    none = torch.zeros(5, 7, dtype=torch.bool)
    empty = torch.zeros(5, 0, dtype=torch.long)
    expected = torch.logsumexp(F.pad(logits, (0, 1)), 1)
    for loss in (
        multilabel_softmax_loss(logits, none, reduction="none"),
        sparse_multilabel_softmax_loss(logits, empty, reduction="none"),
        sparse_multilabel_softmax_loss(logits, empty.int(), reduction="none"),
    ):
        torch.testing.assert_close(loss, expected)
    assert (pairwise_ranking_loss(logits, none, reduction="none") == 0).all()


def test_pad_inside_the_classes():
    logits = normal(2, 5)
    ours = sparse_multilabel_softmax_loss(logits, torch.tensor([[0, 3], [4, 0]]), pad=0)
    minus = sparse_multilabel_softmax_loss(logits, torch.tensor([[3], [4]]))
    assert ours == minus


def test_logits_are_left_alone():
    logits, copy = normal(3, 4), normal(3, 4)
    for loss in LOSSES.values():
        loss(logits)
    assert torch.equal(logits, copy)


def test_pairs_join_the_logarithm():
    logits = normal(3, 4)
    joint = pairwise_ranking_loss(logits, TARGETS, pairs=PAIRS, reduction="none")
    apart = [
        pairwise_ranking_loss(logits, TARGETS, reduction="none").expm1(),
        wish_loss(logits, PAIRS, reduction="none").expm1(),
    ]
    torch.testing.assert_close(joint.expm1(), sum(apart))


def test_predict():
    logits = torch.tensor([[3.0, 1.0, 2.0, -1.0], [-2.0, -1.0, -3.0, -4.0]])
    assert predict(logits).sum(1).tolist() == [3, 0]
    assert predict(logits, k=2).int().tolist() == [[1, 0, 1, 0], [1, 1, 0, 0]]
    assert predict(logits, k_max=1).int().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
    assert predict(logits, torch.tensor([2.5, -2.5])).sum(1).tolist() == [1, 2]
    assert predict(logits, k=0).sum() == 0


def test_probs_invert_the_soft_optimum():
    probs = torch.rand(50, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(multilabel_probs(torch.logit(probs) / 2), probs)


def test_reductions():
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert reduce_loss(losses, "mean") == 3
    assert reduce_loss(losses, "sum") == 9
    assert torch.equal(reduce_loss(losses, "none"), losses)
    with pytest.raises(ValueError, match=r"reduction must be .* got 'average'"):
        reduce_loss(losses, "average")


# Bad input

S, Y = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: multilabel_softmax_loss(S, Y[:1]), ValueError, r"\(1, 3\).*\(2, 3\)"),
        (lambda: multilabel_softmax_loss(S, S + 2), ValueError, "targets.* got 2"),
        (
            lambda: multilabel_softmax_loss(S, S + 0.5),
            ValueError,
            "must be 0 or 1, got 0.5",
        ),
        (lambda: multilabel_softmax_loss(S, S * math.nan), ValueError, "got nan"),
        (lambda: multilabel_softmax_loss(S.long(), Y), TypeError, "logits.*int64"),
        (lambda: multilabel_softmax_loss([0.0], Y), TypeError, "logits.*list"),
        (lambda: multilabel_softmax_loss(S, [0]), TypeError, "targets.*list"),
        (lambda: multilabel_softmax_loss(S[0, 0], Y[0, 0]), ValueError, r"got \(\)"),
        (lambda: multilabel_softmax_loss(S[:, :0], Y[:, :0]), ValueError, r"\(2, 0\)"),
        (lambda: multilabel_softmax_loss(S, Y, reduction="max"), ValueError, "'max'"),
        (lambda: multilabel_softmax_loss(S, Y, mask=S), TypeError, "mask.*float32"),
        (lambda: multilabel_softmax_loss(S, Y, mask=Y[0]), ValueError, "mask"),
        (
            lambda: multilabel_softmax_loss(S, Y, threshold=S[0]),
            ValueError,
            r"threshold.*\(2,\).*\(3,\)",
        ),
        (lambda: soft_multilabel_softmax_loss(S, S + 1.5), ValueError, r"probs.*1\.5"),
        (lambda: soft_multilabel_softmax_loss(S, S * math.nan), ValueError, "probs"),
        (lambda: soft_multilabel_softmax_loss(S, Y), TypeError, "probs.*bool"),
        (lambda: soft_multilabel_softmax_loss(S, S[0]), ValueError, "probs.*shape"),
        (lambda: sparse_multilabel_softmax_loss(S, S), TypeError, "index.*float32"),
        (lambda: sparse_multilabel_softmax_loss(S, Y.long()[0]), ValueError, "index"),
        (
            lambda: sparse_multilabel_softmax_loss(S, torch.tensor([[0, 3], [1, -1]])),
            ValueError,
            r"index.*0\.\.2, got 3",
        ),
        (
            lambda: sparse_multilabel_softmax_loss(S, torch.tensor([[0, -2], [1, -1]])),
            ValueError,
            r"index.*0\.\.2, got -2",
        ),
        (
            lambda: sparse_multilabel_softmax_loss(S, torch.tensor([[1, 1], [-1, -1]])),
            ValueError,
            "index.*once.*class 1 twice",
        ),
        (lambda: pairwise_ranking_loss(S, Y, gamma=0.0), ValueError, "gamma.*0"),
        (lambda: wish_loss(S, torch.tensor([0, 1])), ValueError, r"\(m, 2\).*\(2,\)"),
        (lambda: wish_loss(S, torch.tensor([[0, 3]])), ValueError, "pairs.*got 3"),
        (lambda: wish_loss(S, torch.tensor([[0.0, 1.0]])), TypeError, "pairs.*float"),
        (lambda: wish_loss(S, [(0, 1)]), TypeError, "pairs.*list"),
        (lambda: circle_loss(S, S[0], 1.0, 0.2), ValueError, r"sn and sp.*\(3,\)"),
        (lambda: circle_loss(S, Y, 1.0, 0.2), TypeError, "sp.*bool"),
        (lambda: subset_log_partition(S, 4), ValueError, r"k must.*3, got 4"),
        (lambda: subset_softmax_loss(S, Y, 1), ValueError, "exactly k_max = 1.*0 to 0"),
        (lambda: subset_softmax_loss(S, ~Y, 2, 0.0), ValueError, "at most.*2.*got 3"),
        (lambda: predict(S, k=4), ValueError, "k must.*got 4"),
        (lambda: predict(S, k_max=-1), ValueError, "k_max must.*got -1"),
        (lambda: predict(S, k=1, k_max=1), ValueError, "not both"),
        (lambda: multilabel_probs(S.long()), TypeError, "logits.*int64"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
