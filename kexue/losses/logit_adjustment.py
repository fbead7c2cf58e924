"""Class imbalance by logit adjustment: the class prior inside the softmax.

A model that adds `tau * log_prior` to its logits while it is trained, or subtracts it
afterwards, learns what x itself says about the class instead of how common the class
is. Beside the loss stand the general family of pairwise margins, post-hoc adjustment,
and what measures them. Logits have shape (..., K), targets (...); class priors and
class counts have shape (K,). Losses keep the dtype and device of the logits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import ndtr
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from kexue.losses.checks import (
    check_classes,
    check_floating,
    check_logits,
    check_same_shape,
    check_shape,
    class_targets,
)
from kexue.losses.reduction import reduce_loss

__all__ = [
    "LogitAdjustedLoss",
    "adjust_logits",
    "balanced_error",
    "class_balanced_weights",
    "gaussian_balanced_error",
    "log_prior",
    "logit_adjusted_loss",
    "margins_equalized",
    "margins_ldam",
    "margins_logit_adjusted",
    "pairwise_margin_loss",
    "pmi_matrix",
    "smooth_recalls",
    "tau_of_threshold",
    "vs_loss",
]

_Counts = Tensor | np.ndarray | Sequence[float]


def log_prior(counts: _Counts, *, smoothing: float = 0.0) -> Tensor:
    """Logarithm of the class frequencies, log((n_y + smoothing) / total), in float64.

    Parameters
    ----------
    counts : (K,)
        Samples of each class in the training set.
    smoothing
        Added to every count. A floor inside the logarithm instead would be a wrong
        prior of the rare classes: `stmt-prior-floors`.

    Raises
    ------
    ValueError
        `counts` is not of shape (K,), negative or not finite, `smoothing` is negative,
        or a class has neither; the message says which class.

    Examples
    --------
    >>> log_prior([90, 9, 1]).exp()
    tensor([0.9000, 0.0900, 0.0100], dtype=torch.float64)
    """
    if not 0 <= smoothing < math.inf:
        raise ValueError(f"smoothing must be at least 0 and finite, got {smoothing}")
    smoothed = _class_counts(counts) + smoothing
    if (smoothed == 0).any():
        raise ValueError(
            "counts must be positive where smoothing = 0, got 0 for class "
            f"{int((smoothed == 0).nonzero()[0])}"
        )
    return smoothed.log() - smoothed.sum().log()


def logit_adjusted_loss(
    logits: Tensor,
    targets: Tensor,
    log_prior: Tensor,
    *,
    tau: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of `logits + tau * log_prior`: `eq-prior-in-softmax`.

    The raw logits then decide for every class alike (`eq-balanced-bayes`, at tau = 1);
    for another test prior see `adjust_logits`.

    Parameters
    ----------
    logits : (..., K)
        Raw scores of the model, without the prior.
    targets : (...) integers
        The right classes.
    log_prior : (K,)
        Normalised, as `log_prior(counts)` gives it.
    tau
        How much of the prior goes in; 0 is plain cross-entropy.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)
        In nats.

    Raises
    ------
    TypeError
        `logits` or `log_prior` are no floating-point tensors, or `targets` no integers.
    ValueError
        Shapes do not fit, a target is no class, `log_prior` is not finite or not
        normalised (its log-sum-exp is more than 1e-4 from 0), or `reduction` is
        unknown.

    Examples
    --------
    >>> logits = torch.zeros(2, 3)
    >>> prior = log_prior([90, 9, 1])
    >>> logit_adjusted_loss(logits, torch.tensor([0, 2]), prior, reduction="none")
    tensor([0.1054, 4.6052])
    """
    targets = class_targets("targets", targets, logits)
    prior = _prior("log_prior", log_prior, logits)
    return _cross_entropy(logits + (tau * prior).to(logits), targets, reduction)


class LogitAdjustedLoss(nn.Module):
    """`logit_adjusted_loss` as a criterion that holds the prior as a buffer.

    Parameters
    ----------
    log_prior : (K,)
        Normalised, as `log_prior(counts)` gives it.
    tau
        How much of the prior goes in.
    reduction
        `"mean"`, `"sum"` or `"none"`.

    Examples
    --------
    >>> criterion = LogitAdjustedLoss(log_prior([90, 9, 1]))
    >>> criterion(torch.zeros(2, 3), torch.tensor([0, 2]))
    tensor(2.3553)
    """

    log_prior: Tensor

    def __init__(
        self, log_prior: Tensor, *, tau: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.register_buffer("log_prior", _prior("log_prior", log_prior).clone())
        self.tau, self.reduction = tau, reduction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits (..., K) and class numbers (...)."""
        return logit_adjusted_loss(
            logits, targets, self.log_prior, tau=self.tau, reduction=self.reduction
        )

    def extra_repr(self) -> str:
        """What stands between the brackets of the module's name."""
        return f"{len(self.log_prior)} classes, tau={self.tau}, {self.reduction}"


def pairwise_margin_loss(
    logits: Tensor,
    targets: Tensor,
    delta: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """weight_y log(1 + sum over j != y of exp(delta_yj + f_j - f_y)):
    `eq-consistent-family`.

    Parameters
    ----------
    logits : (..., K)
        Raw scores f.
    targets : (...) integers
        The right classes y.
    delta : (K, K)
        By how much f_y shall stand above f_j; row: true class y, column: rival j. The
        diagonal does not count. May need gradients.
    weight : (K,), optional
        A factor for the samples of each class. `reduction="mean"` divides by the number
        of samples, not by their total weight as `F.cross_entropy` does.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `logits`, `delta` or `weight` are no floating-point tensors, or `targets` no
        integers.
    ValueError
        Shapes do not fit, a target is no class, or `reduction` is unknown.

    Notes
    -----
    Takes one row of `delta` a sample: time and memory are O(batch K).

    Examples
    --------
    >>> delta = margins_logit_adjusted(log_prior([90, 9, 1]))
    >>> pairwise_margin_loss(torch.zeros(2, 3), torch.tensor([0, 2]), delta)
    tensor(2.3553)
    """
    targets = class_targets("targets", targets, logits)
    num_classes = logits.shape[-1]
    check_shape("delta", delta, (num_classes, num_classes))
    margins = delta.to(logits)[targets].scatter_(-1, targets.unsqueeze(-1), 0.0)
    losses = _cross_entropy(logits + margins, targets, "none")
    if weight is not None:
        check_shape("weight", weight, (num_classes,))
        losses = weight.to(logits)[targets] * losses
    return reduce_loss(losses, reduction)


def margins_logit_adjusted(log_prior: Tensor, tau: float = 1.0) -> Tensor:
    """Margins tau log(pi_j / pi_y) with which `pairwise_margin_loss` is
    `logit_adjusted_loss`.

    Parameters
    ----------
    log_prior : (K,)
    tau

    Returns
    -------
    (K, K)

    Examples
    --------
    >>> margins_logit_adjusted(log_prior([1, 1, 2]))[2]
    tensor([-0.6931, -0.6931,  0.0000], dtype=torch.float64)
    """
    prior = tau * _prior("log_prior", log_prior)
    return prior - prior[:, None]


def margins_ldam(counts: _Counts, scale: float) -> Tensor:
    """LDAM's margins scale (n_y / n_min)^(-1/4), the same against every rival.

    The rarest class has the margin `scale` (Cao et al. 2019, arXiv 1906.07413). Not
    consistent for the balanced error: `eq-consistent-family`.

    Parameters
    ----------
    counts : (K,)
        Positive.
    scale
        Largest margin.

    Returns
    -------
    (K, K) float64

    Examples
    --------
    >>> margins_ldam([16, 1], 0.5)
    tensor([[0.0000, 0.2500],
            [0.5000, 0.0000]], dtype=torch.float64)
    """
    number = _class_counts(counts, positive=True)
    margin = scale * (number / number.min()) ** -0.25
    return margin[:, None].expand(-1, len(number)).clone().fill_diagonal_(0.0)


def margins_equalized(log_prior: Tensor) -> Tensor:
    """Margins log(pi_j): rare rivals are spared, whatever the true class.

    A soft form of the equalization loss (Tan et al. 2020, arXiv 2003.05176), as the
    paper on logit adjustment has it. Not consistent: `eq-consistent-family`.

    Parameters
    ----------
    log_prior : (K,)

    Returns
    -------
    (K, K)

    Examples
    --------
    >>> margins_equalized(log_prior([1, 1, 2]))[2]
    tensor([-1.3863, -1.3863,  0.0000], dtype=torch.float64)
    """
    prior = _prior("log_prior", log_prior)
    return prior.expand(len(prior), -1).clone().fill_diagonal_(0.0)


def class_balanced_weights(counts: _Counts, beta: float) -> Tensor:
    """Weights (1 - beta) / (1 - beta^n): `eq-class-balanced-weights`.

    They run from 1 (beta = 0, no weights) to 1 / n (beta = 1, the limit): the inverse
    of the "effective number" of Cui et al. 2019 (arXiv 1901.05555).

    Parameters
    ----------
    counts : (K,)
        Positive.
    beta
        In [0, 1].

    Returns
    -------
    (K,) float64

    Examples
    --------
    >>> class_balanced_weights([1, 100], 0.9)
    tensor([1.0000, 0.1000], dtype=torch.float64)
    """
    number = _class_counts(counts, positive=True)
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must lie in [0, 1], got {beta}")
    if beta in (0, 1):
        return number**-beta
    return (1 - beta) / -torch.expm1(number * math.log(beta))


def vs_loss(
    logits: Tensor,
    targets: Tensor,
    log_prior: Tensor,
    tau: float,
    gamma: float,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Vector-scaling loss: cross-entropy of (pi_j / pi_max)^gamma f_j + tau log(pi_j).

    The factor still counts when the data are separated, where the summand no longer
    does: `stmt-separable-limit` (Kini et al. 2021, arXiv 2103.01550). Decide by the raw
    logits. With gamma = 0 it is `logit_adjusted_loss`.

    Parameters
    ----------
    logits : (..., K)
        Raw scores f.
    targets : (...) integers
        The right classes.
    log_prior : (K,)
        Normalised, as `log_prior(counts)` gives it.
    tau, gamma
        Additive and multiplicative adjustment.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    ValueError
        As `logit_adjusted_loss`.

    Examples
    --------
    >>> prior = log_prior([90, 9, 1])
    >>> vs_loss(torch.ones(3), torch.tensor(2), prior, tau=1.0, gamma=0.2)
    tensor(5.1658)
    """
    targets = class_targets("targets", targets, logits)
    prior = _prior("log_prior", log_prior, logits)
    factor = (gamma * (prior - prior.max())).exp().to(logits)
    scaled = factor * logits + (tau * prior).to(logits)
    return _cross_entropy(scaled, targets, reduction)


def adjust_logits(
    logits: Tensor,
    log_prior: Tensor,
    *,
    tau: float = 1.0,
    test_log_prior: Tensor | None = None,
) -> Tensor:
    """Post-hoc adjustment f - tau log(pi) + log(q): `eq-tau-test-prior`.

    For logits of a model trained by plain cross-entropy. After `logit_adjusted_loss`
    use tau = 0: the prior is out already.

    Parameters
    ----------
    logits : (..., K)
    log_prior : (K,)
        Of the training data.
    tau
        How much of it is taken out; 1 makes the decision class-balanced.
    test_log_prior : (K,), optional
        The prior q where the model is used; without it, uniform. May hold -inf.

    Returns
    -------
    (..., K)

    Raises
    ------
    TypeError
        One of the three is no floating-point tensor.
    ValueError
        The numbers of classes differ, or a prior is not normalised.

    Examples
    --------
    >>> adjust_logits(torch.tensor([2.0, 1.0]), log_prior([3, 1]))
    tensor([2.2877, 2.3863])
    """
    check_logits(logits)
    shift = -tau * _prior("log_prior", log_prior, logits)
    if test_log_prior is not None:
        new = _prior("test_log_prior", test_log_prior, logits, finite=False)
        shift = shift + new.to(shift)
    return logits + shift.to(logits)


def balanced_error(predictions: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """Mean over the classes of their error rates: `eq-balanced-bayes`.

    Parameters
    ----------
    predictions, targets : (..., N) integers
        Class numbers; leading axes are separate experiments.
    num_classes

    Returns
    -------
    (...) float64

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        Shapes differ, a number is no class, or some class has no target.

    Examples
    --------
    >>> balanced_error(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]), 2)
    tensor(0.5000, dtype=torch.float64)
    """
    check_same_shape("targets", targets, predictions)
    for name, index in (("predictions", predictions), ("targets", targets)):
        check_classes(name, index, num_classes)
    of_class = F.one_hot(targets.long(), num_classes).double()
    size = of_class.sum(-2)
    if (size == 0).any():
        raise ValueError(
            "targets must hold every class, got none of class "
            f"{int((size == 0).nonzero()[0, -1])}"
        )
    wrong = (predictions != targets).double()
    return ((wrong.unsqueeze(-1) * of_class).sum(-2) / size).mean(-1)


def smooth_recalls(probs: Tensor, targets: Tensor) -> Tensor:
    """Mean probability of the true class, class by class: `eq-smooth-accuracy-split`.

    Parameters
    ----------
    probs : (N, K)
        Predicted probabilities.
    targets : (N,) integers
        The right classes.

    Returns
    -------
    (K,)
        nan for a class without samples.

    Raises
    ------
    TypeError
        `probs` is no floating-point tensor, or `targets` holds no integers.
    ValueError
        Shapes do not fit, a target is no class, or `probs` leaves [0, 1].

    Examples
    --------
    >>> smooth_recalls(torch.tensor([[0.7, 0.3], [0.4, 0.6]]), torch.tensor([0, 0]))
    tensor([0.5500,    nan])
    """
    if probs.ndim != 2:
        raise ValueError(f"probs must have shape (N, K), got {tuple(probs.shape)}")
    targets = class_targets("targets", targets, probs)
    if not ((probs >= 0) & (probs <= 1 + 1e-6)).all():
        raise ValueError(
            f"probs must lie in [0, 1], got values from {probs.min().item():.4g} to "
            f"{probs.max().item():.4g}"
        )
    chosen = probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    total = probs.new_zeros(probs.shape[-1]).index_add(0, targets, chosen)
    return total / torch.bincount(targets, minlength=probs.shape[-1]).to(probs)


def tau_of_threshold(threshold: float, prior: float) -> float:
    """The tau that a threshold on the probability of the positive class amounts to,
    logit(threshold) / logit(prior): `eq-threshold-is-prior`.

    Parameters
    ----------
    threshold
        In (0, 1).
    prior
        Share of the positive class, in (0, 1) and not 1/2, where tau has no effect.

    Raises
    ------
    ValueError
        One of them is out of its range.

    Examples
    --------
    >>> round(tau_of_threshold(0.2, 0.05), 3), tau_of_threshold(0.05, 0.05)
    (0.471, 1.0)
    """
    for name, value in (("threshold", threshold), ("prior", prior)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie in (0, 1), got {value}")
    if prior == 0.5:
        raise ValueError("prior must not be 0.5: tau has no effect there")
    return math.log(threshold / (1 - threshold)) / math.log(prior / (1 - prior))


def gaussian_balanced_error(
    mu: ArrayLike, sigma: ArrayLike, pi: ArrayLike, tau: ArrayLike
) -> np.ndarray:
    """Exact balanced error of the tau rule between N(mu, sigma^2) and N(-mu, sigma^2):
    `eq-gaussian-ber`.

    In more dimensions `mu` is half the distance of the two means.

    Parameters
    ----------
    mu, sigma
        Positive; they broadcast with `pi` and `tau`.
    pi
        Share of the class at +mu, in (0, 1).
    tau
        How much of the prior is taken out of the log-odds: 0 for the rule that is most
        often right, 1 for the balanced one.

    Raises
    ------
    ValueError
        `mu` or `sigma` are not positive, or `pi` leaves (0, 1).

    Examples
    --------
    >>> gaussian_balanced_error(2**0.5, 1, 0.05, [0, 1]).round(4)
    array([0.1808, 0.0786])
    """
    mu, sigma, pi = (np.asarray(value, dtype=float) for value in (mu, sigma, pi))
    for name, value in (("mu", mu), ("sigma", sigma)):
        if not (value > 0).all():
            raise ValueError(f"{name} must be positive, got {value.min()}")
    if not ((pi > 0) & (pi < 1)).all():
        raise ValueError(f"pi must lie in (0, 1), got {pi.min()} to {pi.max()}")
    cut = (1 - np.asarray(tau)) * sigma**2 * np.log((1 - pi) / pi) / (2 * mu)
    return (ndtr(-(mu - cut) / sigma) + ndtr(-(mu + cut) / sigma)) / 2


def pmi_matrix(counts: ArrayLike, smoothing: float = 0.0) -> np.ndarray:
    """Pointwise mutual information log p(i, j) / (p(i) p(j)) of counted pairs, in nats:
    `exp-bigram-pmi`.

    Parameters
    ----------
    counts : (V, W)
        How often i (row) and j (column) met.
    smoothing
        Added to every count, before the marginals are taken.

    Returns
    -------
    (V, W) float64
        -inf where a count is 0 and `smoothing` is 0.

    Raises
    ------
    ValueError
        `counts` is no matrix, negative or not finite, a row or column is empty, or
        `smoothing` is negative.

    Examples
    --------
    >>> pmi_matrix([[2, 0], [0, 2]], smoothing=1).round(3)
    array([[ 0.405, -0.693],
           [-0.693,  0.405]])
    """
    if not smoothing >= 0:
        raise ValueError(f"smoothing must be at least 0, got {smoothing}")
    table = np.asarray(counts, dtype=float) + smoothing
    if table.ndim != 2 or not np.isfinite(table).all() or (table < smoothing).any():
        raise ValueError(
            "counts must be a matrix of finite numbers that are not negative, got "
            f"shape {table.shape}"
        )
    rows, columns = table.sum(1, keepdims=True), table.sum(0, keepdims=True)
    if not rows.all() or not columns.all():
        raise ValueError("counts must not have an empty row or column")
    with np.errstate(divide="ignore"):
        return np.log(table) - np.log(rows) - np.log(columns) + np.log(table.sum())


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Cross-entropy on the last axis under any leading shape."""
    rows = logits.reshape(-1, logits.shape[-1])
    losses = F.cross_entropy(rows, targets.reshape(-1), reduction="none")
    return reduce_loss(losses.reshape(targets.shape), reduction)


def _prior(
    name: str, value: Tensor, logits: Tensor | None = None, *, finite: bool = True
) -> Tensor:
    """A log-prior, when it is normalised and fits the logits."""
    check_floating(value, name)
    num_classes = logits.shape[-1] if logits is not None else value.numel()
    check_shape(name, value, (num_classes,))
    if finite and not value.isfinite().all():
        raise ValueError(
            f"{name} must be finite, got {value[~value.isfinite()][0].item()} for "
            f"class {int((~value.isfinite()).nonzero()[0])}"
        )
    total = value.double().logsumexp(0).item()
    if not abs(total) <= 1e-4:
        raise ValueError(
            f"{name} must be normalised, got a log-sum-exp of {total:.4g} instead of "
            "0; log_prior(counts) is"
        )
    return value


def _class_counts(counts: _Counts, *, positive: bool = False) -> Tensor:
    """Class counts as float64."""
    number = torch.as_tensor(counts).double()
    if number.ndim != 1 or len(number) == 0:
        raise ValueError(
            f"counts must have shape (K,) with K >= 1, got {tuple(number.shape)}"
        )
    wrong = ~number.isfinite() | (number < 0) | ((number == 0) & positive)
    if wrong.any():
        wanted = "positive" if positive else "at least 0"
        place = int(wrong.nonzero()[0])
        raise ValueError(
            f"counts must be finite and {wanted}, got {number[place].item():g} for "
            f"class {place}"
        )
    return number
