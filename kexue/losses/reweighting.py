"""Losses for unequal classes, and the sample weights that hide in their gradients.

With the margin z (the logit of a positive, minus the logit of a negative sample) and
`p = sigmoid(z)`, the probability of the right class, every loss of one sample has the
gradient of cross-entropy times a weight w(p): `effective_weight`. The article is
`book/losses/reweighting`.

Elementwise losses take logits of any shape; `reduction="none"` returns that shape, and
`reduce_loss` of `kexue.losses.reduction` takes a mask. Losses of a set (`smooth_fbeta`,
Dice, Jaccard) act on the last axis: flatten what shall be one set. All keep dtype and
device, compute from log-sigmoids, and are finite at any finite logit. They raise a
`TypeError` for logits that are not of floating point, and a `ValueError` for shapes
that differ, for targets other than 0 and 1, and for a parameter out of its range.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from kexue.losses.checks import (
    binary_targets,
    check_floating,
    check_logits,
    check_same_shape,
)
from kexue.losses.reduction import reduce_loss

__all__ = [
    "ball_margins",
    "calibration_map",
    "class_weight_shift",
    "dice_loss",
    "dinkelbach_threshold",
    "effective_weight",
    "f1_weights",
    "focal_loss",
    "gce_loss",
    "jaccard_loss",
    "logit_adjusted_weight",
    "margin_threshold",
    "poly_loss",
    "smooth_accuracy_loss",
    "smooth_f1_fixed_point",
    "smooth_fbeta_loss",
    "softened_loss",
    "truncated_loss",
    "width_and_shift",
]

Z_MAX = 30.0
"""Beyond this margin the gradient of cross-entropy drowns in float64."""


# Losses of one sample


def smooth_accuracy_loss(
    logits: Tensor, targets: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """1 - p, one minus the smooth accuracy: weight p (`eq-grad-smooth-accuracy`).

    Parameters
    ----------
    logits : (...)
    targets : (...)
        0 or 1, of any dtype.
    reduction
        `"mean"`, `"sum"` or `"none"`.

    Examples
    --------
    >>> smooth_accuracy_loss(torch.tensor([2.0, -1.0]), torch.tensor([1, 0]))
    tensor(0.1941)
    """
    return reduce_loss(torch.sigmoid(-_margin(logits, targets)), reduction)


def gce_loss(
    logits: Tensor, targets: Tensor, *, q: float = 0.7, reduction: str = "mean"
) -> Tensor:
    """Generalised cross-entropy (1 - p^q) / q: weight p^q (`eq-loss-equals-weight`).

    From cross-entropy (q towards 0) to smooth accuracy (q = 1); exact for tiny q.

    Parameters
    ----------
    logits, targets, reduction
        As in `smooth_accuracy_loss`.
    q
        0 < q <= 1.

    Examples
    --------
    >>> gce_loss(torch.tensor([0.0]), torch.tensor([1]), q=1e-9)
    tensor(0.6931)
    """
    if not 0 < q <= 1:
        raise ValueError(f"q must lie in (0, 1], got {q}")
    log_p = F.logsigmoid(_margin(logits, targets))
    return reduce_loss(torch.expm1(q * log_p) / -q, reduction)


def focal_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    stop_gradient: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Focal loss -(1 - p)^gamma log p; weight of `eq-focal-hidden-weight`.

    Parameters
    ----------
    logits, targets, reduction
        As in `smooth_accuracy_loss`.
    gamma
        At least 0.
    alpha
        In [0, 1]: multiplies positives by alpha and negatives by 1 - alpha.
    stop_gradient
        Treat (1 - p)^gamma as a constant: the weight is then what the name says, and
        the loss that is descended is `poly_loss`.

    Examples
    --------
    >>> focal_loss(torch.tensor([0.0]), torch.tensor([1]), gamma=1)
    tensor(0.3466)
    """
    if not gamma >= 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    z = _margin(logits, targets)
    weight = torch.exp(gamma * F.logsigmoid(-z))
    losses = -(weight.detach() if stop_gradient else weight) * F.logsigmoid(z)
    if alpha is not None:
        losses = losses * torch.where(targets == 1, alpha, 1 - alpha).to(losses)
    return reduce_loss(losses, reduction)


def poly_loss(
    logits: Tensor, targets: Tensor, *, gamma: int = 1, reduction: str = "mean"
) -> Tensor:
    """-log p without its first Taylor terms, -log p - sum over j <= gamma of (1 - p)^j
    / j: weight (1 - p)^gamma (`eq-sg-focal-is-poly`).

    Parameters
    ----------
    logits, targets, reduction
        As in `smooth_accuracy_loss`.
    gamma
        How many terms to drop, a whole number of at least 0.

    Notes
    -----
    The terms are subtracted: a value near 0 has the absolute accuracy of its dtype. For
    gradients of full relative accuracy take `focal_loss(stop_gradient=True)`.

    >>> poly_loss(torch.tensor([0.0]), torch.tensor([1]), gamma=1)
    tensor(0.1931)
    """
    if not isinstance(gamma, int) or gamma < 0:
        raise ValueError(f"gamma must be a whole number of at least 0, got {gamma!r}")
    z = _margin(logits, targets)
    wrong = torch.sigmoid(-z)
    losses = -F.logsigmoid(z)
    for j in range(1, gamma + 1):
        losses = losses - wrong**j / j
    return reduce_loss(losses, reduction)


def truncated_loss(
    logits: Tensor, targets: Tensor, *, margin: float = 0.5, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of the samples with p < margin only, half of it at p = margin.

    The half lets a model that starts at z = 0 move (`eq-hard-soft-focal`).

    Parameters
    ----------
    logits, targets, reduction
        As in `smooth_accuracy_loss`.
    margin
        The probability in (0, 1) from which a sample counts as learnt.

    Examples
    --------
    >>> truncated_loss(torch.tensor([2.0, 0.0]), torch.tensor([1, 1]), reduction="none")
    tensor([0.0000, 0.3466])
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin must lie in (0, 1), got {margin}")
    z = _margin(logits, targets)
    border = math.log(margin / (1 - margin))
    weight = torch.heaviside(border - z.detach(), z.new_tensor(0.5))
    return reduce_loss(-weight * F.logsigmoid(z), reduction)


def softened_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    sharpness: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """-sigmoid(-K z) log p with sharpness K: focal loss of gamma 1 at K = 1, truncation
    at 1/2 as K grows (`eq-hard-soft-focal`).

    Parameters
    ----------
    logits, targets, reduction
        As in `smooth_accuracy_loss`.
    sharpness
        K > 0.

    Examples
    --------
    >>> softened_loss(torch.tensor([0.5]), torch.tensor([1]), sharpness=10)
    tensor(0.0032)
    """
    if not 0 < sharpness < math.inf:
        raise ValueError(f"sharpness must be positive, got {sharpness}")
    z = _margin(logits, targets)
    return reduce_loss(-torch.sigmoid(-sharpness * z) * F.logsigmoid(z), reduction)


# Losses of a set


def smooth_fbeta_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    beta: float = 1.0,
    eps: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """1 - F_beta with probabilities for decisions (`eq-grad-smooth-f1`).

    F = (1 + beta^2) sum(p y) / (beta^2 sum(y) + sum(p)); beta = 1 is Dice as well.

    Parameters
    ----------
    logits : (..., n)
        Each row is one set, n >= 1.
    targets : (..., n)
        0 or 1, of any dtype.
    beta
        Positive; recall counts beta times as much as precision.
    eps
        Added to numerator and denominator, at least 0.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a set).

    Notes
    -----
    With eps = 0 a set without positives has loss 1 and gradient 0: it teaches nothing.

    >>> logits, targets = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1, 0, 0])
    >>> smooth_fbeta_loss(logits, targets)
    tensor(0.3352)
    """
    if not 0 < beta < math.inf:
        raise ValueError(f"beta must be positive, got {beta}")
    y, p = _set(logits, targets)
    square = beta**2
    hits = (1 + square) * (p * y).sum(-1)
    total = square * y.sum(-1) + p.sum(-1)
    return reduce_loss(1 - _ratio(hits, total, eps), reduction)


def dice_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    squared: bool = True,
    eps: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """1 - 2 sum(p y) / (sum(p^2) + sum(y^2)) (`eq-dice-jaccard`).

    Parameters
    ----------
    logits, targets, eps, reduction
        As in `smooth_fbeta_loss`.
    squared
        Without the squares it is `smooth_fbeta_loss`.

    Examples
    --------
    >>> dice_loss(torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1, 0, 0]))
    tensor(0.1604)
    """
    y, p = _set(logits, targets)
    total = y.sum(-1) + (p**2 if squared else p).sum(-1)
    return reduce_loss(1 - _ratio(2 * (p * y).sum(-1), total, eps), reduction)


def jaccard_loss(
    logits: Tensor, targets: Tensor, *, eps: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - sum(p y) / (sum(y) + sum(p) - sum(p y)): 1 - F / (2 - F) of the smooth F1
    (`eq-dice-jaccard`).

    Parameters
    ----------
    logits, targets, eps, reduction
        As in `smooth_fbeta_loss`.

    Examples
    --------
    >>> jaccard_loss(torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1, 0, 0]))
    tensor(0.5021)
    """
    y, p = _set(logits, targets)
    hits = (p * y).sum(-1)
    return reduce_loss(1 - _ratio(hits, (y + p - p * y).sum(-1), eps), reduction)


# Weights, decisions and what they do to probabilities


def effective_weight(loss: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The weight in a loss's gradient, l'(z) / CE'(z), by autograd:
    `eq-loss-equals-weight`.

    Parameters
    ----------
    loss
        Maps margins z to the losses of positives, elementwise.
    z : (...)
        Margins, computed with in float64.

    Returns
    -------
    (...) float64
        nan where abs(z) > 30, where the gradient of cross-entropy has no digits left.

    Examples
    --------
    >>> effective_weight(lambda z: torch.sigmoid(-z), torch.tensor([0.0, 2.0]))
    tensor([0.5000, 0.8808], dtype=torch.float64)
    """
    check_floating(z, "z")
    z = z.detach().double().requires_grad_()
    (slope,) = torch.autograd.grad(loss(z).sum(), z)
    z = z.detach()
    return (slope / -torch.sigmoid(-z)).masked_fill(z.abs() > Z_MAX, math.nan)


def calibration_map(weight: Callable[[Tensor], Tensor], eta: Tensor) -> Tensor:
    """The probability that the best score for a sample of posterior eta claims:
    `eq-calibration-map`.

    Parameters
    ----------
    weight
        The hidden weight as a function of the margin z, e.g. by `effective_weight`.
    eta : (...)
        P(y = 1 | x), in (0, 1).

    Returns
    -------
    (...)
        By bisection in z, which supposes that the pointwise risk has one minimum; 0 or
        1 when it lies beyond abs(z) = 30 (smooth accuracy: at infinity).

    Examples
    --------
    >>> eta = torch.tensor([0.5, 0.9], dtype=torch.float64)
    >>> calibration_map(lambda z: torch.sigmoid(-z) ** 2, eta)  # Poly: a third of z
    tensor([0.5000, 0.6753], dtype=torch.float64)
    """
    check_floating(eta, "eta")
    if not ((eta > 0) & (eta < 1)).all():
        raise ValueError(
            f"eta must lie in (0, 1), got values from {eta.min().item():.4g} "
            f"to {eta.max().item():.4g}"
        )
    share = eta.detach().double()

    def rises(z: Tensor) -> Tensor:  # whether the risk falls to the right of z
        pull = share * weight(z) * torch.sigmoid(-z)
        return pull > (1 - share) * weight(-z) * torch.sigmoid(z)

    low, high = torch.full_like(share, -Z_MAX), torch.full_like(share, Z_MAX)
    at_0, at_1 = ~rises(low), rises(high)
    for _ in range(60):
        middle = (low + high) / 2
        right = rises(middle)
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    p = torch.sigmoid((low + high) / 2)
    return p.masked_fill(at_0, 0.0).masked_fill(at_1, 1.0).to(eta.dtype)


def class_weight_shift(w_pos: float, w_neg: float) -> float:
    """By how much class weights move the learnt logit, log(w_pos / w_neg):
    `eq-weight-is-logit-shift`.

    >>> round(class_weight_shift(19, 1), 4)
    2.9444
    """
    if not (w_pos > 0 and w_neg > 0):
        raise ValueError(f"weights must be positive, got {w_pos} and {w_neg}")
    return math.log(w_pos / w_neg)


def logit_adjusted_weight(z: Tensor, b: float | Tensor) -> Tensor:
    """The weight of a positive when cross-entropy is trained on z + b: (1 + e^z) / (1 +
    e^(z + b)), `eq-logit-adjustment-as-weight`.

    >>> logit_adjusted_weight(torch.tensor([-9.0, 9.0]), -2.0)
    tensor([1.0001, 7.3833])
    """
    check_floating(z, "z")
    return torch.exp(F.softplus(z) - F.softplus(z + b))


def f1_weights(pred: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Weights 1 - F/2 of positives and F/2 of negatives, F the F1 of hard decisions.

    Cross-entropy with these weights, renewed as the model learns, ends at the best
    threshold: `eq-dinkelbach`. F of a small batch is far too low; keep running counts.

    Parameters
    ----------
    pred : (..., n) bool
        Decisions.
    targets : (..., n)
        0 or 1, of any dtype.

    Returns
    -------
    w_pos, w_neg : (...)
        Of the default dtype. F counts as 0 when nothing is positive.

    Examples
    --------
    >>> f1_weights(torch.tensor([True, True, False]), torch.tensor([1, 0, 0]))
    (tensor(0.6667), tensor(0.3333))
    """
    if not isinstance(pred, Tensor) or pred.dtype != torch.bool:
        kind = pred.dtype if isinstance(pred, Tensor) else type(pred).__name__
        raise TypeError(f"pred must be a boolean tensor, got {kind}")
    check_same_shape("targets", targets, pred, other="pred")
    positive = binary_targets("targets", targets, pred.float())
    total = pred.sum(-1) + positive.sum(-1)
    half = (pred & positive).sum(-1) / total.clamp_min(1)
    return 1 - half, half


def dinkelbach_threshold(
    probs: Tensor, targets: Tensor, *, beta: float = 1.0, iters: int = 20
) -> tuple[Tensor, Tensor]:
    """The threshold of the best F_beta on a sample, by Dinkelbach's iteration:
    `eq-dinkelbach`.

    Given F, take the threshold that maximises (1 + beta^2) TP - F (TP + FP), and set F
    to what it reaches. One sort, then O(n) a round; about 5 rounds.

    Parameters
    ----------
    probs : (n,)
        Probabilities, or any scores.
    targets : (n,)
        0 or 1, of any dtype, not all 0.
    beta
        Positive.
    iters
        At most so many rounds.

    Returns
    -------
    threshold, f : ()
        Predict `probs >= threshold`. For calibrated probabilities the threshold is
        near F / (1 + beta^2).

    Examples
    --------
    >>> probs = torch.tensor([0.9, 0.4, 0.3, 0.1])
    >>> dinkelbach_threshold(probs, torch.tensor([1, 0, 1, 0]))
    (tensor(0.3000), tensor(0.8000, dtype=torch.float64))
    """
    positive = binary_targets("targets", targets, probs, other="probs")
    if probs.ndim != 1 or not positive.any():
        raise ValueError(
            f"expected probs of shape (n,) and at least one positive, got shape "
            f"{tuple(probs.shape)} and {int(positive.sum())} positives"
        )
    if not 0 < beta < math.inf or iters < 1:
        raise ValueError(
            f"beta must be positive and iters at least 1, got {beta} and {iters}"
        )
    ranked, order = probs.detach().sort(descending=True)
    # equal scores share a decision: cut only behind the last of them
    last = F.pad(ranked[1:] != ranked[:-1], (0, 1), value=True)
    hits = positive[order].cumsum(0)[last].double()
    size = torch.arange(1, len(ranked) + 1, device=probs.device)[last].double()
    values = (1 + beta**2) * hits / (beta**2 * hits[-1] + size)
    best = len(size) - 1
    for _ in range(iters):
        found = int(torch.argmax((1 + beta**2) * hits - values[best] * size))
        if values[found] <= values[best]:
            break
        best = found
    return ranked[last][best], values[best]


def smooth_f1_fixed_point(eta: Tensor, density: Tensor) -> tuple[float, float]:
    """Where cross-entropy with weights of the smooth F1 of its own probabilities stops:
    `eq-smooth-f-fixed-point`.

    Solves F = 2 E[eta p] / (E[eta] + E[p]), logit p = logit eta + log((2 - F) / F).

    Parameters
    ----------
    eta : (n,)
        Posteriors P(y = 1 | x) at the nodes of a quadrature, or of a sample.
    density : (n,)
        Their masses, of any scale.

    Returns
    -------
    f, threshold
        The smooth F1, and the posterior F/2 at which the decision changes.

    Examples
    --------
    >>> eta = torch.tensor([0.02, 0.2, 0.6], dtype=torch.float64)
    >>> f, threshold = smooth_f1_fixed_point(eta, torch.ones(3))
    >>> round(f, 4), round(threshold, 4)
    (0.5418, 0.2709)
    """
    check_floating(eta, "eta")
    check_same_shape("density", density, eta, other="eta")
    eta, mass = eta.detach().double(), density.detach().double()
    if not ((eta >= 0) & (eta <= 1)).all() or not (
        mass @ eta > 0 and (mass >= 0).all()
    ):
        raise ValueError(
            "expected eta in [0, 1], masses that are not negative and some mass on "
            f"eta > 0, got eta from {eta.min():.4g} to {eta.max():.4g} and masses from "
            f"{mass.min():.4g} to {mass.max():.4g}"
        )
    f, before = 1.0, math.inf
    for _ in range(1000):
        p = (2 - f) * eta / ((2 - f) * eta + f * (1 - eta))
        before, f = f, float(2 * (mass @ (eta * p)) / (mass @ (eta + p)))
        if abs(f - before) < 1e-15:
            break
    return f, f / 2


# Margins


def ball_margins(
    class_vectors: Tensor, radius: Tensor, *, exact: bool = True
) -> Tensor:
    """Pairwise margins for samples that own a ball of features: `eq-ball-margin`.

    Parameters
    ----------
    class_vectors : (K, d)
        Rows u_i; the scores of features f are the inner products with them.
    radius : (K,)
        At least 0, for the samples of each class.
    exact
        r_y norm(u_y - u_i), or else the sum of the two norms, which is never smaller.

    Returns
    -------
    (K, K)
        Row y holds the margins of a sample of class y; the diagonal is 0.

    Examples
    --------
    >>> ball_margins(torch.eye(2), torch.tensor([1.0, 2.0]))
    tensor([[0.0000, 1.4142],
            [2.8284, 0.0000]])
    """
    check_floating(class_vectors, "class_vectors")
    check_floating(radius, "radius")
    if class_vectors.ndim != 2 or radius.shape != class_vectors.shape[:1]:
        raise ValueError(
            "expected class_vectors of shape (K, d) and radius of shape (K,), got "
            f"{tuple(class_vectors.shape)} and {tuple(radius.shape)}"
        )
    if (radius < 0).any():
        raise ValueError(f"radius must not be negative, got {radius.min().item():.4g}")
    if exact:
        size = (class_vectors[:, None] - class_vectors).norm(dim=-1)
    else:
        norms = class_vectors.norm(dim=-1)
        size = (norms[:, None] + norms).fill_diagonal_(0)
    return radius[:, None] * size


def width_and_shift(delta: Tensor) -> tuple[Tensor, Tensor]:
    """Split a table of margins into the widening of each border, delta + delta^T, and
    its shift, (delta - delta^T) / 2: `eq-width-and-shift`.

    Parameters
    ----------
    delta : (K, K)

    Returns
    -------
    width, shift : (K, K)
        `delta == width / 2 + shift`.

    Examples
    --------
    >>> width_and_shift(torch.tensor([[0.0, 3.0], [1.0, 0.0]]))
    (tensor([[0., 4.],
            [4., 0.]]), tensor([[ 0.,  1.],
            [-1.,  0.]]))
    """
    check_floating(delta, "delta")
    if delta.ndim != 2 or delta.shape[0] != delta.shape[1]:
        raise ValueError(f"delta must have shape (K, K), got {tuple(delta.shape)}")
    return delta + delta.T, (delta - delta.T) / 2


def margin_threshold(m_pos: Tensor, m_neg: Tensor) -> Tensor:
    """The posterior at which the best score is 0, when positives are trained on z -
    m_pos and negatives on z + m_neg: `eq-width-and-shift`.

    Parameters
    ----------
    m_pos, m_neg : (...)
        Margins, of either sign.

    Returns
    -------
    (...)
        sigmoid(m_neg) / (sigmoid(m_neg) + sigmoid(m_pos)).

    Examples
    --------
    >>> margin_threshold(-torch.tensor(0.05).log(), -torch.tensor(0.95).log())
    tensor(0.3500)
    """
    check_floating(m_pos, "m_pos")
    check_same_shape("m_neg", m_neg, m_pos, other="m_pos")
    return torch.sigmoid(F.logsigmoid(m_neg) - F.logsigmoid(m_pos))


def _margin(logits: Tensor, targets: Tensor) -> Tensor:
    """The logits of positives, minus those of negatives."""
    return torch.where(binary_targets("targets", targets, logits), logits, -logits)


def _set(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Targets in the dtype of the logits, and probabilities."""
    check_logits(logits)
    return binary_targets("targets", targets, logits).to(logits), torch.sigmoid(logits)


def _ratio(part: Tensor, whole: Tensor, eps: float) -> Tensor:
    """(part + eps) / (whole + eps), and 0 for 0 / 0."""
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps must be at least 0, got {eps}")
    whole = whole + eps
    # so small only where no target is 1, hence part = 0; its square would be 0
    tiny = whole < torch.finfo(whole.dtype).tiny ** 0.5
    return (part + eps) / whole.masked_fill(tiny, 1.0)
