"""Softmax cross-entropy for any number of labels at once, and its relatives.

A sample has n scores ("logits"), positive classes P and negative classes N. The loss

    log(1 + sum over N of exp(s_i)) + log(1 + sum over P of exp(-s_j))

asks every positive score to stand above the threshold 0 and above every negative score,
and every negative score to stand below 0. It takes raw scores: no sigmoid, no softmax
before it. All losses act on the last axis, under any leading batch shape, and keep the
dtype and device of the logits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from kexue.losses.checks import (
    binary_targets,
    check_classes,
    check_logits,
    check_same_shape,
)
from kexue.losses.reduction import reduce_loss

__all__ = [
    "circle_loss",
    "multilabel_probs",
    "multilabel_softmax_loss",
    "pairwise_ranking_loss",
    "predict",
    "soft_multilabel_softmax_loss",
    "sparse_multilabel_softmax_loss",
    "subset_log_partition",
    "subset_softmax_loss",
    "wish_loss",
]


def multilabel_softmax_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    threshold: float | Tensor = 0.0,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The multi-label cross-entropy (ZLPR loss) of hard labels: `eq-threshold-class`.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    targets : (..., n)
        1 or True for positive classes, 0 or False for negative ones; any dtype.
    threshold : number, () or (...)
        The score that separates the two groups, for all samples or one for each. A
        tensor receives gradients.
    mask : (..., n) bool, optional
        False takes a class out of the loss of its sample.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)
        In nats. Below log 2 a sample is predicted without error (`eq-subset-error`).

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor, or `mask` is not boolean.
    ValueError
        Shapes differ, `targets` holds something else than 0 and 1, or `reduction` is
        unknown.

    Notes
    -----
    Both sums are log-sum-exps of raw scores, each with its own shift and with the other
    group at minus infinity: nothing overflows, small losses keep their digits, and a
    class that does not count has gradient 0 exactly. Time and memory are O(n).

    Examples
    --------
    >>> logits = torch.tensor([[3.0, -2.0, 1.0, -4.0]])
    >>> multilabel_softmax_loss(logits, torch.tensor([[1, 0, 1, 0]]))
    tensor(0.4919)
    """
    check_logits(logits)
    positive = binary_targets("targets", targets, logits)
    scores = logits - _per_sample("threshold", threshold, logits)
    dropped_neg, dropped_pos = positive, ~positive
    if mask is not None:
        _check_mask(mask, logits)
        dropped_neg, dropped_pos = dropped_neg | ~mask, dropped_pos | ~mask
    negatives = scores.masked_fill(dropped_neg, -math.inf)
    positives = (-scores).masked_fill(dropped_pos, -math.inf)
    losses = _log1p_sum_exp(negatives) + _log1p_sum_exp(positives)
    return reduce_loss(losses, reduction)


def soft_multilabel_softmax_loss(
    logits: Tensor,
    probs: Tensor,
    *,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The multi-label cross-entropy of soft labels, log(1 + sum t_i exp(-s_i)) +
    log(1 + sum (1 - t_i) exp(s_i)): `eq-soft-label-optimum`.

    Its minimum is at `t = sigmoid(2 * s)`: see `multilabel_probs`. With t in {0, 1} it
    is `multilabel_softmax_loss`.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    probs : (..., n)
        Wanted probabilities t in [0, 1]; they may need gradients (mixup, distillation).
    mask : (..., n) bool, optional
        False takes a class out of the loss of its sample.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `logits` or `probs` are no floating-point tensors, or `mask` is not boolean.
    ValueError
        Shapes differ, `probs` leaves [0, 1], or `reduction` is unknown.

    Examples
    --------
    >>> probs = torch.tensor([0.9, 0.5, 0.2])
    >>> soft_multilabel_softmax_loss(torch.logit(probs) / 2, probs)
    tensor(1.5769)
    """
    check_logits(logits)
    check_same_shape("probs", probs, logits)
    if not probs.is_floating_point():
        raise TypeError(f"probs must be floating point, got {probs.dtype}")
    if not ((probs >= 0) & (probs <= 1)).all():
        raise ValueError(
            f"probs must lie in [0, 1], got values from {probs.min().item():.4g} "
            f"to {probs.max().item():.4g}"
        )
    may_be_neg, may_be_pos = probs < 1, probs > 0
    # 1 instead of 0 under the log: a 0 would send nan through the backward pass
    log_pos = torch.where(may_be_pos, probs, 1.0).log()
    log_neg = torch.log1p(-torch.where(may_be_neg, probs, 0.0))
    if mask is not None:
        _check_mask(mask, logits)
        may_be_neg, may_be_pos = may_be_neg & mask, may_be_pos & mask
    negatives = (log_neg + logits).masked_fill(~may_be_neg, -math.inf)
    positives = (log_pos - logits).masked_fill(~may_be_pos, -math.inf)
    losses = _log1p_sum_exp(negatives) + _log1p_sum_exp(positives)
    return reduce_loss(losses, reduction)


def multilabel_probs(logits: Tensor) -> Tensor:
    """Probabilities `sigmoid(2 * logits)` of a model that was trained on soft labels.

    Valid after `soft_multilabel_softmax_loss` only. Training on hard labels, even on
    labels drawn from these probabilities, leads to other scores, whose threshold 0 need
    not mean one half: `stmt-zero-is-not-one-half`.

    Parameters
    ----------
    logits : (..., n)

    Returns
    -------
    (..., n)

    Examples
    --------
    >>> multilabel_probs(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.1192, 0.5000, 0.8808])
    """
    check_logits(logits)
    return torch.sigmoid(2 * logits)


def sparse_multilabel_softmax_loss(
    logits: Tensor, index: Tensor, *, pad: int = -1, reduction: str = "mean"
) -> Tensor:
    """The multi-label cross-entropy of positives given by their indices.

    Equals `multilabel_softmax_loss` of the same labels, without a tensor of n targets;
    unlike the difference of two log-sum-exps in `eq-sparse-labels` it cancels nothing.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    index : (..., m) integers
        The positive classes of each sample, filled up with `pad`; m may be 0.
    pad
        Stands for "no class"; if it lies in 0..n-1, that class is never a positive.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor, or `index` holds no integers.
    ValueError
        Batch shapes differ, an index is out of range or stands twice in its row, or
        `reduction` is unknown.

    Examples
    --------
    >>> logits = torch.tensor([[3.0, -2.0, 1.0, -4.0]])
    >>> sparse_multilabel_softmax_loss(logits, torch.tensor([[2, 0, -1]]))
    tensor(0.4919)
    """
    index = _check_index(index, logits, pad)
    is_pad = index == pad
    num_classes = logits.shape[-1]
    gathered = logits.gather(-1, index.masked_fill(is_pad, 0))
    positives = (-gathered).masked_fill(is_pad, -math.inf)
    # pads go to a column of their own, which is -inf already
    negatives = F.pad(logits, (0, 1), value=-math.inf).scatter_(
        -1, index.masked_fill(is_pad, num_classes), -math.inf
    )
    positives = F.pad(positives, (0, 1), value=-math.inf)  # a row may be empty
    losses = _log1p_sum_exp(negatives) + _log1p_sum_exp(positives)
    return reduce_loss(losses, reduction)


def pairwise_ranking_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma: float = 1.0,
    margin: float = 0.0,
    pairs: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + sum over N x P of exp(gamma (s_i - s_j + margin))) in O(n):
    `eq-pairwise-factor`, `eq-circle-unified`.

    Wants every negative score below every positive one. It knows no threshold: decode
    with `predict(logits, k=...)`. With one positive it is the softmax cross-entropy.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    targets : (..., n)
        1 or True for positive classes, 0 or False for negative ones; any dtype.
    gamma
        Inverse temperature, > 0.
    margin
        By how much positives shall stand above negatives.
    pairs : (m, 2) integers, optional
        Further wishes `(low, high)` for every sample, in the same logarithm, with the
        same `gamma` and `margin`; see `wish_loss`.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor, or `pairs` holds no integers.
    ValueError
        Shapes differ, `targets` holds something else than 0 and 1, `gamma` is not
        positive, a pair is out of range, or `reduction` is unknown.

    Examples
    --------
    >>> logits = torch.tensor([2.0, -1.0, 0.5])
    >>> pairwise_ranking_loss(logits, torch.tensor([1, 0, 0]))
    tensor(0.2413)
    >>> F.cross_entropy(logits, torch.tensor(0))
    tensor(0.2413)
    """
    check_logits(logits)
    positive = binary_targets("targets", targets, logits)
    _check_gamma(gamma)
    # finite: a log-sum-exp of nothing but -inf has gradient nan
    nothing = torch.finfo(logits.dtype).min / 2
    negatives = (gamma * (logits + margin)).masked_fill(positive, nothing)
    positives = (-gamma * logits).masked_fill(~positive, nothing)
    terms = torch.logsumexp(negatives, -1) + torch.logsumexp(positives, -1)
    terms = terms.unsqueeze(-1)
    if pairs is not None:
        wishes = gamma * (_wishes(logits, pairs) + margin)
        terms = torch.cat([terms, wishes], -1)
    return reduce_loss(_log1p_sum_exp(terms), reduction)


def wish_loss(logits: Tensor, pairs: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + sum over pairs (low, high) of exp(s_low - s_high)): any wished order.

    A value below log 2 certifies that every wish holds. With (child, parent) pairs it
    keeps a hierarchy of labels consistent: `exp-hierarchy-wishes`.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    pairs : (m, 2) integers
        Classes `(low, high)`, the same for every sample; m >= 1.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor, or `pairs` holds no integers.
    ValueError
        `pairs` is not of shape (m, 2) or out of range, or `reduction` is unknown.

    Examples
    --------
    >>> wish_loss(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([[1, 0], [2, 0]]))
    tensor(0.2413)
    """
    check_logits(logits)
    return reduce_loss(_log1p_sum_exp(_wishes(logits, pairs)), reduction)


def circle_loss(
    sn: Tensor, sp: Tensor, gamma: float, margin: float, *, reduction: str = "mean"
) -> Tensor:
    """Circle loss of similarities: each is weighted by its distance to its optimum.

    The optima are 1 + margin for positive pairs and -margin for negative ones; the
    weights carry no gradient, as in the paper (Sun et al. 2020, arXiv 2002.10857).

    Parameters
    ----------
    sn : (..., N)
        Similarities of negative pairs, within [-1, 1].
    sp : (..., P)
        Similarities of positive pairs, within [-1, 1].
    gamma
        Inverse temperature, > 0.
    margin
        Relaxation m: the decision boundary is the circle sn^2 + (sp - 1)^2 = 2 m^2.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `sn` or `sp` are no floating-point tensors.
    ValueError
        Their batch shapes differ, one holds no similarity, `gamma` is not positive, or
        `reduction` is unknown.

    Examples
    --------
    >>> circle_loss(torch.tensor([0.1, 0.0]), torch.tensor([0.9]), 32.0, 0.25)
    tensor(0.0582)
    """
    check_logits(sn, "sn")
    check_logits(sp, "sp")
    if sn.shape[:-1] != sp.shape[:-1]:
        raise ValueError(
            f"sn and sp must have the same batch shape, got {tuple(sn.shape)} and "
            f"{tuple(sp.shape)}"
        )
    _check_gamma(gamma)
    weight_n = (sn.detach() + margin).clamp(min=0)
    weight_p = (1 + margin - sp.detach()).clamp(min=0)
    negatives = torch.logsumexp(gamma * weight_n * (sn - margin), -1)
    positives = torch.logsumexp(-gamma * weight_p * (sp - 1 + margin), -1)
    losses = _log1p_sum_exp((negatives + positives).unsqueeze(-1))
    return reduce_loss(losses, reduction)


def subset_log_partition(logits: Tensor, k: int) -> Tensor:
    """Logarithms of Z_0, ..., Z_k, where Z_j sums exp(total score) over all subsets of
    j classes: `eq-newton-partition`.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    k
        Largest subset, 0 <= k <= n.

    Returns
    -------
    (..., k + 1)

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor.
    ValueError
        `k` is not in 0..n.

    Notes
    -----
    Multiplies the polynomials 1 + exp(s_i) z one by one in the log domain, where all
    terms are positive: O(n k) and accurate to rounding. Newton's identities need fewer
    steps but subtract numbers of like size, and lose every digit once scores spread.

    Examples
    --------
    >>> subset_log_partition(torch.zeros(5), 3).exp()  # binomial coefficients
    tensor([ 1.0000,  5.0000, 10.0000, 10.0000])
    """
    check_logits(logits)
    if not 0 <= k <= logits.shape[-1]:
        raise ValueError(f"k must lie in 0..n = {logits.shape[-1]}, got {k}")
    partition = torch.zeros_like(logits[..., :1])
    for score in logits.split(1, -1):
        # only sizes that exist: logaddexp of two -inf has gradient nan
        one_more = partition + score
        partition = torch.cat(
            [
                partition[..., :1],
                torch.logaddexp(partition[..., 1:], one_more[..., :-1]),
                one_more[..., -1:],
            ],
            -1,
        )[..., : k + 1]
    return partition


def subset_softmax_loss(
    logits: Tensor,
    targets: Tensor,
    k_max: int,
    threshold_logit: float | Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of one softmax over all label sets.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    targets : (..., n)
        1 or True for positive classes, 0 or False for negative ones; any dtype.
    k_max
        Without `threshold_logit` the number of positives of every sample; with it their
        largest number.
    threshold_logit : number, () or (...), optional
        Score of the class that fills a label set up to `k_max` and serves as threshold:
        `eq-padded-subset`.
    reduction
        `"mean"`, `"sum"` or `"none"` (one loss a sample).

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor.
    ValueError
        Shapes differ, `targets` holds something else than 0 and 1, a sample has a wrong
        number of positives, `k_max` is not in 0..n, or `reduction` is unknown.

    Examples
    --------
    >>> logits = torch.tensor([2.0, -1.0, 0.5])
    >>> subset_softmax_loss(logits, torch.tensor([1, 0, 1]), 2)
    tensor(0.2413)
    """
    check_logits(logits)
    positive = binary_targets("targets", targets, logits)
    log_z = subset_log_partition(logits, k_max)
    num_positive = positive.sum(-1)
    score = torch.where(positive, logits, 0).sum(-1)
    if threshold_logit is None:
        if (num_positive != k_max).any():
            raise ValueError(
                f"targets must have exactly k_max = {k_max} positives a sample, got "
                f"{num_positive.min()} to {num_positive.max()}; give a threshold_logit "
                "for varying numbers"
            )
        return reduce_loss(log_z[..., -1] - score, reduction)
    if (num_positive > k_max).any():
        raise ValueError(
            f"targets must have at most k_max = {k_max} positives a sample, got "
            f"{num_positive.max()}"
        )
    filler = _per_sample("threshold_logit", threshold_logit, logits)
    num_filled = k_max - torch.arange(k_max + 1, device=logits.device)
    log_padded = torch.logsumexp(log_z + filler * num_filled, -1)
    score = score + filler.squeeze(-1) * (k_max - num_positive)
    return reduce_loss(log_padded - score, reduction)


def predict(
    logits: Tensor,
    threshold: float | Tensor = 0.0,
    k_max: int | None = None,
    *,
    k: int | None = None,
) -> Tensor:
    """Decode scores into label sets.

    Parameters
    ----------
    logits : (..., n)
        Raw scores.
    threshold : number, () or (...)
        Classes with greater scores are predicted.
    k_max
        Predict at most the `k_max` greatest (`eq-padded-subset`).
    k
        Predict exactly the `k` greatest and ignore the threshold.

    Returns
    -------
    (..., n) bool

    Raises
    ------
    TypeError
        `logits` is no floating-point tensor.
    ValueError
        `k` or `k_max` is not in 0..n, both are given, or `threshold` is neither one
        number nor one for each sample.

    Examples
    --------
    >>> predict(torch.tensor([2.0, -1.0, 0.5, 1.0]), k_max=2)
    tensor([ True, False, False,  True])
    """
    above = logits > _per_sample("threshold", threshold, logits)
    if k is None and k_max is None:
        return above
    if k is not None and k_max is not None:
        raise ValueError(f"give k or k_max, not both: got k = {k}, k_max = {k_max}")
    name, number = ("k", k) if k is not None else ("k_max", k_max)
    if number is None or not 0 <= number <= logits.shape[-1]:
        raise ValueError(f"{name} must lie in 0..n = {logits.shape[-1]}, got {number}")
    best = torch.zeros_like(above).scatter(-1, logits.topk(number, -1).indices, True)
    return best if k is not None else best & above


def _log1p_sum_exp(terms: Tensor) -> Tensor:
    """log(1 + sum of exp(terms)) over the last axis; all terms may be -inf."""
    # at least 0, the logarithm of 1: so -inf alone gives 0, and no nan back
    shift = terms.detach().amax(-1, keepdim=True).clamp(min=0)
    total = (terms - shift).exp_().sum(-1)
    shift = shift.squeeze(-1)
    return shift + torch.log1p(total + torch.expm1(-shift))


def _wishes(logits: Tensor, pairs: Tensor) -> Tensor:
    """The differences s_low - s_high, of shape (..., m)."""
    if not isinstance(pairs, Tensor):
        raise TypeError(f"pairs must be a tensor, got {type(pairs).__name__}")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0:
        raise ValueError(
            f"pairs must have shape (m, 2) with m >= 1, got {tuple(pairs.shape)}"
        )
    check_classes("pairs", pairs, logits.shape[-1])
    low, high = pairs.long().unbind(1)
    return logits[..., low] - logits[..., high]


def _check_gamma(gamma: float) -> None:
    if not gamma > 0:
        raise ValueError(f"gamma must be positive, got {gamma}")


def _check_index(index: Tensor, logits: Tensor, pad: int) -> Tensor:
    """`index` as int64, when it fits the logits and no row names a class twice."""
    check_logits(logits)
    if not isinstance(index, Tensor):
        raise TypeError(f"index must be a tensor, got {type(index).__name__}")
    if index.shape[:-1] != logits.shape[:-1] or index.ndim != logits.ndim:
        raise ValueError(
            "index must have shape (..., m) with the batch shape of the logits, got "
            f"{tuple(index.shape)} and logits {tuple(logits.shape)}"
        )
    check_classes("index", index[index != pad], logits.shape[-1])
    index = index.long()
    ordered = index.sort(-1).values
    twice = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] != pad)
    if twice.any():
        raise ValueError(
            "index must name a class at most once in a row, got class "
            f"{ordered[..., 1:][twice][0].item()} twice"
        )
    return index


def _check_mask(mask: Tensor, logits: Tensor) -> None:
    check_same_shape("mask", mask, logits)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, got {mask.dtype}")


def _per_sample(name: str, value: float | Tensor, logits: Tensor) -> Tensor:
    """A number for all samples or one for each, as a tensor that fits the logits."""
    check_logits(logits)
    tensor = torch.as_tensor(value, dtype=logits.dtype, device=logits.device)
    if tensor.ndim and tensor.shape != logits.shape[:-1]:
        raise ValueError(
            f"{name} must be one number or have shape {tuple(logits.shape[:-1])}, one "
            f"for each sample, got {tuple(tensor.shape)}"
        )
    return tensor.unsqueeze(-1)
