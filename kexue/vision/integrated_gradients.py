r"""Integrated gradients and the attributions it is compared with.

The change of a score :math:`F` from a baseline :math:`\bar x` to an input :math:`x` is
the integral of its gradient along any path between them. Integrated gradients takes the
straight line and gives each coordinate its own term; what remains to choose are the
baseline and a quadrature rule. The page is `book/vision/integrated_gradients`.

Everywhere `f` maps points of shape (N, ...) to N scores, each point on its own. It
must treat all points alike, whatever N is; what depends on the sample, such as its
label, goes through `target_score`, which knows the sample of every point. The model's
parameters get no gradients, and results are detached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

__all__ = [
    "Adaptive",
    "TargetScore",
    "adaptive_integrated_gradients",
    "deletion_insertion",
    "deletion_insertion_curves",
    "digits_cnn",
    "embedding_attribution",
    "expected_gradients",
    "gradient",
    "gradient_times_input",
    "integrated_gradients",
    "multilinear_extension",
    "path_attribution",
    "quadrature",
    "shapley",
    "slope",
    "smoothgrad",
    "target_score",
]

Rule = Literal["gauss", "midpoint", "trapezoid", "right", "left", "simpson"]
Score = Callable[[Tensor], Tensor]
Baseline = Tensor | float | None


def quadrature(rule: Rule, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of an n-point rule for integrals over [0, 1].

    Parameters
    ----------
    rule
        "gauss" (Gauss-Legendre, exact to degree 2n - 1), "midpoint", "trapezoid"
        (n nodes make n - 1 intervals), "right" or "left" Riemann sum, or "simpson".
    n
        Number of nodes, that is of gradients.

    Returns
    -------
    nodes, weights : (n,) float64
        Increasing nodes; the weights sum to 1.

    Raises
    ------
    ValueError
        Unknown rule, n below 1 (2 for "trapezoid"), or n that is not odd and at
        least 3 for "simpson".
    TypeError
        n is not a whole number.

    Examples
    --------
    >>> nodes, weights = quadrature("gauss", 2)
    >>> float(weights @ nodes**3)
    0.25
    """
    least = {"trapezoid": 2, "simpson": 3}.get(rule, 1)
    n = _whole("n", n, least)
    if rule == "gauss":
        nodes, weights = np.polynomial.legendre.leggauss(n)
        return (nodes + 1) / 2, weights / 2
    if rule in ("midpoint", "right", "left"):
        shift = {"midpoint": 0.5, "right": 1.0, "left": 0.0}[rule]
        return (np.arange(n) + shift) / n, np.full(n, 1 / n)
    if rule == "trapezoid":
        weights = np.full(n, 1 / (n - 1))
        weights[[0, -1]] /= 2
    elif rule == "simpson":
        if n % 2 == 0:
            raise ValueError(f"n must be odd for Simpson's rule, got {n}")
        weights = np.full(n, 2 / (3 * (n - 1)))
        weights[1::2] *= 2
        weights[[0, -1]] /= 2
    else:
        raise ValueError(
            "rule must be gauss, midpoint, trapezoid, right, left or simpson, "
            f"got {rule!r}"
        )
    return np.linspace(0, 1, n), weights


@dataclass(frozen=True)
class TargetScore:
    """The score of one class, made by `target_score`.

    Called with N points for B targets, N a multiple of B, it takes point j as one of
    sample j mod B: whole copies of the batch, one after another.
    """

    model: Callable[[Tensor], Tensor]
    target: int | Tensor
    output: Literal["logit", "prob"] = "logit"

    def __call__(self, points: Tensor) -> Tensor:
        logits = self.model(points)
        if logits.ndim != 2 or len(logits) != len(points):
            raise ValueError(
                f"model must return ({len(points)}, classes) for {len(points)} points, "
                f"got {tuple(logits.shape)}"
            )
        scores = logits.softmax(1) if self.output == "prob" else logits
        if isinstance(self.target, int):
            return scores[:, self.target]
        copies, rest = divmod(len(points), len(self.target))
        if rest:
            raise ValueError(
                f"target has {len(self.target)} entries, which {len(points)} points "
                "are no multiple of"
            )
        target = self.target.to(points.device).repeat(copies)
        return scores.gather(1, target[:, None]).squeeze(1)

    def rows(self, index: Any) -> TargetScore:
        """The same score for some of the samples."""
        if isinstance(self.target, int):
            return self
        return replace(self, target=self.target[index])


def target_score(
    model: Callable[[Tensor], Tensor],
    target: int | Tensor,
    output: Literal["logit", "prob"] = "logit",
) -> TargetScore:
    """The score `f` of a classifier's class.

    Parameters
    ----------
    model
        Maps (N, ...) to logits (N, classes).
    target : int or (B,) int64
        One class for all, or one for each sample.
    output
        The class's "logit" or its "prob", by softmax.

    Raises
    ------
    ValueError
        Unknown `output`, or `target` is not of shape (B,).
    TypeError
        `target` holds no whole numbers.

    Examples
    --------
    >>> f = target_score(torch.nn.Identity(), torch.tensor([0, 2]))
    >>> f(torch.tensor([[5.0, 1.0, 2.0], [3.0, 4.0, 7.0]]))
    tensor([5., 7.])
    """
    if output not in ("logit", "prob"):
        raise ValueError(f"output must be 'logit' or 'prob', got {output!r}")
    if isinstance(target, Tensor):
        if target.is_floating_point() or target.is_complex():
            raise TypeError(f"target must hold whole numbers, got {target.dtype}")
        if target.ndim != 1 or not len(target):
            raise ValueError(f"target must have shape (B,), got {tuple(target.shape)}")
        target = target.long()
    elif isinstance(target, bool) or not isinstance(target, int):
        raise TypeError(f"target must be an int or a tensor, got {target!r}")
    return TargetScore(model, target, output)


def gradient(f: Score, x: Tensor) -> Tensor:
    """The gradient of every sample's score: the naive measure of importance.

    Parameters
    ----------
    f
        Maps points (N, ...) to scores (N,).
    x : (B, ...)
        Inputs.

    Returns
    -------
    gradient : (B, ...)

    Raises
    ------
    ValueError, TypeError
        See `integrated_gradients`.

    Examples
    --------
    >>> gradient(lambda p: (p**2).sum(1), torch.tensor([[1.0, 3.0]]))
    tensor([[2., 6.]])
    """
    x, _ = _checked(f, x, None)
    return _score_gradient(f, x)


def gradient_times_input(f: Score, x: Tensor, baseline: Baseline = None) -> Tensor:
    """The one-point rule of `eq-one-point-rule`: gradient at `x` times difference.

    Parameters
    ----------
    f, x, baseline
        As in `integrated_gradients`.

    Returns
    -------
    attribution : (B, ...)

    Raises
    ------
    ValueError, TypeError
        See `integrated_gradients`.

    Examples
    --------
    >>> gradient_times_input(lambda p: (p**2).sum(1), torch.tensor([[1.0, 3.0]]))
    tensor([[ 2., 18.]])
    """
    x, baseline = _checked(f, x, baseline)
    return _score_gradient(f, x) * (x - baseline)


def slope(
    f: Score,
    x: Tensor,
    alpha: ArrayLike,
    baseline: Baseline = None,
    *,
    batch_size: int | None = None,
) -> Tensor:
    r"""The score's derivative along the line from the baseline to the input.

    .. math:: g(\alpha)=\frac{d}{d\alpha}F(\bar x+\alpha(x-\bar x))

    Its integral over [0, 1] is what integrated gradients sum to, so that it alone
    decides how well a rule does.

    Parameters
    ----------
    f, x, baseline, batch_size
        As in `integrated_gradients`, but `batch_size` must be at least B.
    alpha : (n,)
        Where.

    Returns
    -------
    slope : (n, B)

    Raises
    ------
    ValueError, TypeError
        `alpha` is not of shape (n,); else see `integrated_gradients`.

    Examples
    --------
    >>> slope(lambda p: (p**3).sum(1), torch.tensor([[2.0]]), [0, 0.5, 1])
    tensor([[ 0.],
            [ 6.],
            [24.]])
    """
    x, baseline = _checked(f, x, baseline)
    nodes = np.asarray(alpha, dtype=float)
    if nodes.ndim != 1 or not nodes.size:
        raise ValueError(f"alpha must have shape (n,), n > 0, got {nodes.shape}")
    line = _straight(baseline, x - baseline, nodes)
    terms = _gradients(f, line, len(nodes), batch_size, lambda _: x - baseline)
    return torch.cat([term.flatten(2).sum(2) for _, term in terms])


@overload
def integrated_gradients(
    f: Score,
    x: Tensor,
    baseline: Baseline = ...,
    *,
    steps: int = ...,
    rule: Rule = ...,
    batch_size: int | None = ...,
    check: Literal[False] = ...,
) -> Tensor: ...
@overload
def integrated_gradients(
    f: Score,
    x: Tensor,
    baseline: Baseline = ...,
    *,
    steps: int = ...,
    rule: Rule = ...,
    batch_size: int | None = ...,
    check: Literal[True],
) -> tuple[Tensor, Tensor]: ...
def integrated_gradients(
    f: Score,
    x: Tensor,
    baseline: Baseline = None,
    *,
    steps: int = 32,
    rule: Rule = "gauss",
    batch_size: int | None = None,
    check: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Integrated gradients, the terms of `eq-completeness`.

    .. math:: (x_i-\bar x_i)\int_0^1\partial_iF(\bar x+\alpha(x-\bar x))\,d\alpha

    Parameters
    ----------
    f
        Maps points (N, ...) to scores (N,), every point on its own.
    x : (B, ...)
        Inputs, float.
    baseline : (B, ...) or (...) tensor, number or None
        One for each sample, one for all, one value for all entries, or zeros.
    steps
        Nodes of the rule: gradients for each sample.
    rule
        See `quadrature`. "gauss" for smooth models; "midpoint" is as good where the
        gradient jumps, as in ReLU networks.
    batch_size
        Most points in one call of `f`; all at once without. Memory grows with it.
    check
        Also return what completeness misses, at the price of two calls of `f`.

    Returns
    -------
    attribution : (B, ...)
    residual : (B,), only with `check`
        Sum of the attribution minus ``f(x) - f(baseline)``.

    Raises
    ------
    ValueError
        `baseline` of another shape, dtype or device; unknown `rule`; `steps` or
        `batch_size` too small; `f` returns another shape than (N,), ignores its
        points, or holds a module whose dropout or batch norm is in train mode.
    TypeError
        `x` is no float tensor.

    Examples
    --------
    >>> x = torch.tensor([[2.0, 3.0]])
    >>> integrated_gradients(lambda p: p[:, 0] * p[:, 1], x, steps=2)
    tensor([[3.0000, 3.0000]])
    """
    x, baseline = _checked(f, x, baseline)
    nodes, weights = quadrature(rule, _whole("steps", steps))
    size = len(x) if batch_size is None else _whole("batch_size", batch_size)
    parts = []
    for rows in torch.arange(len(x), device=x.device).split(min(size, len(x))):
        start, difference = baseline[rows], x[rows] - baseline[rows]
        line = _straight(start, difference, nodes)
        mean = _mean_gradient(_rows(f, rows), line, weights, batch_size)
        parts.append(mean * difference)
    attribution = torch.cat(parts)
    if not check:
        return attribution
    return attribution, attribution.flatten(1).sum(1) - _change(f, x, baseline, size)


def path_attribution(
    f: Score,
    path: Callable[[float], Tensor],
    velocity: Callable[[float], Tensor],
    steps: int = 32,
    rule: Rule = "gauss",
) -> Tensor:
    r"""The terms of `eq-path-identity` for any path.

    .. math:: \int_0^1\partial_iF(\gamma(\alpha))\,\gamma_i'(\alpha)\,d\alpha

    Parameters
    ----------
    f
        Maps points (N, ...) to scores (N,).
    path, velocity
        The path's points (B, ...) and derivatives at a number in [0, 1].
    steps, rule
        See `quadrature`.

    Returns
    -------
    attribution : (B, ...)
        Its sum is F at the end minus F at the beginning of the path, up to the rule's
        error.

    Raises
    ------
    ValueError, TypeError
        `velocity` has another shape than `path`; else see `integrated_gradients`.

    Examples
    --------
    A staircase's second half: the second coordinate moves, and gets everything.

    >>> path_attribution(
    ...     lambda p: p[:, 0] * p[:, 1],
    ...     lambda a: torch.tensor([[2.0, 3.0 * a]]),
    ...     lambda a: torch.tensor([[0.0, 3.0]]),
    ... )
    tensor([[0.0000, 6.0000]])
    """
    nodes, weights = quadrature(rule, _whole("steps", steps))
    first, speed = path(float(nodes[0])), velocity(float(nodes[0]))
    _checked(f, first, None)
    if speed.shape != first.shape:
        raise ValueError(
            f"velocity must have the shape of path, {tuple(first.shape)}, "
            f"got {tuple(speed.shape)}"
        )
    return _mean_gradient(
        f,
        lambda k: path(float(nodes[k])),
        weights,
        None,
        lambda k: velocity(float(nodes[k])),
    )


class Adaptive(NamedTuple):
    """What `adaptive_integrated_gradients` returns; B samples."""

    attribution: Tensor
    steps: Tensor
    residual: Tensor
    converged: Tensor


def adaptive_integrated_gradients(
    f: Score,
    x: Tensor,
    baseline: Baseline = None,
    *,
    tol: float = 1e-3,
    max_steps: int = 512,
    batch_size: int | None = None,
) -> Adaptive:
    """Integrated gradients with as many Gauss nodes as each sample needs.

    Nodes are doubled from 2 until completeness holds to `tol`. That is a necessary
    condition: errors of single attributions may cancel in the sum.

    Parameters
    ----------
    f, x, baseline, batch_size
        As in `integrated_gradients`.
    tol
        Accepted residual, relative to the change of the score.
    max_steps
        Most nodes; a sample that would need more stays unconverged.

    Returns
    -------
    attribution : (B, ...)
    steps : (B,) int64
        Nodes of the last rule. All rules before it together cost as much again.
    residual : (B,)
        Sum of the attribution minus the change of the score.
    converged : (B,) bool

    Raises
    ------
    ValueError, TypeError
        `tol` not positive, `max_steps` below 2; else see `integrated_gradients`.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [9.0]])
    >>> adaptive_integrated_gradients(lambda p: p.exp().sum(1), x).steps
    tensor([2, 8])
    """
    if not tol > 0:
        raise ValueError(f"tol must be positive, got {tol}")
    max_steps = _whole("max_steps", max_steps, 2)
    x, baseline = _checked(f, x, baseline)
    size = len(x) if batch_size is None else _whole("batch_size", batch_size)
    change = _change(f, x, baseline, size)
    attribution = torch.zeros_like(x)
    steps = torch.zeros(len(x), dtype=torch.long, device=x.device)
    residual = torch.full_like(change, math.inf)
    left, n = torch.arange(len(x), device=x.device), 2
    while len(left) and n <= max_steps:
        attribution[left] = integrated_gradients(
            _rows(f, left), x[left], baseline[left], steps=n, batch_size=batch_size
        )
        steps[left] = n
        residual[left] = attribution[left].flatten(1).sum(1) - change[left]
        left = left[residual[left].abs() > tol * change[left].abs()]
        n *= 2
    converged = residual.abs() <= tol * change.abs()
    return Adaptive(attribution, steps, residual, converged)


def expected_gradients(
    f: Score,
    x: Tensor,
    baselines: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
    *,
    batch_size: int | None = None,
) -> Tensor:
    """Integrated gradients averaged over baselines, by Monte Carlo.

    The mean of `eq-expected-gradients`: each draw takes a baseline and a point of
    the line at random, and is unbiased on its own.

    Parameters
    ----------
    f, x, batch_size
        As in `integrated_gradients`, but `batch_size` must be at least B.
    baselines : (M, ...)
        Drawn from uniformly, with replacement.
    samples
        Draws, that is gradients, for each sample.
    generator
        Draws.

    Returns
    -------
    attribution : (B, ...)

    Raises
    ------
    ValueError, TypeError
        `baselines` are not of shape (M, ...); else see `integrated_gradients`.

    Examples
    --------
    >>> x, baselines = torch.tensor([[2.0, 3.0]]), torch.tensor([[0.0, 1.0]])
    >>> expected_gradients(lambda p: p @ torch.tensor([1.0, 10.0]), x, baselines, 5)
    tensor([[ 2., 20.]])
    """
    x, _ = _checked(f, x, None)
    samples = _whole("samples", samples)
    if baselines.shape[1:] != x.shape[1:] or not len(baselines):
        raise ValueError(
            f"baselines must have shape (M, {', '.join(map(str, x.shape[1:]))}), "
            f"got {tuple(baselines.shape)}"
        )
    _same_kind("baselines", baselines, x)
    shape = samples, len(x)
    chosen = torch.randint(len(baselines), shape, generator=generator).to(x.device)
    alpha = torch.rand(shape, generator=generator, dtype=x.dtype).to(x.device)
    alpha = alpha.reshape(*shape, *[1] * (x.ndim - 1))
    return _mean_gradient(
        f,
        lambda k: torch.lerp(baselines[chosen[k]], x, alpha[k]),
        np.full(samples, 1 / samples),
        batch_size,
        lambda k: x - baselines[chosen[k]],
    )


def smoothgrad(
    f: Score,
    x: Tensor,
    sigma: float,
    samples: int,
    generator: torch.Generator | None = None,
    *,
    batch_size: int | None = None,
) -> Tensor:
    """The gradient averaged over Gaussian noise around the input.

    Parameters
    ----------
    f, x, batch_size
        As in `integrated_gradients`, but `batch_size` must be at least B.
    sigma
        Standard deviation of the noise.
    samples
        Draws for each sample.
    generator
        Draws.

    Returns
    -------
    gradient : (B, ...)

    Raises
    ------
    ValueError, TypeError
        `sigma` is negative; else see `integrated_gradients`.

    Examples
    --------
    >>> smoothgrad(lambda p: 3 * p.sum(1), torch.zeros(1, 2), sigma=0.1, samples=4)
    tensor([[3., 3.]])
    """
    x, _ = _checked(f, x, None)
    if not sigma >= 0:
        raise ValueError(f"sigma must not be negative, got {sigma}")
    samples = _whole("samples", samples)

    def point(_: int) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x + sigma * noise.to(x.device)

    return _mean_gradient(f, point, np.full(samples, 1 / samples), batch_size)


def embedding_attribution(
    f: Score,
    embeddings: Tensor,
    baseline: Baseline = None,
    reduce: Literal["sum", "norm"] = "sum",
    *,
    steps: int = 32,
    rule: Rule = "gauss",
) -> Tensor:
    """Integrated gradients of tokens, from those of their embeddings.

    Parameters
    ----------
    f
        Maps embeddings (N, L, D) to scores (N,).
    embeddings : (B, L, D)
        Embedded texts.
    baseline, steps, rule
        As in `integrated_gradients`.
    reduce
        "sum" over D keeps sign and completeness; "norm" keeps neither.

    Returns
    -------
    attribution : (B, L)

    Raises
    ------
    ValueError, TypeError
        `embeddings` without three axes, unknown `reduce`; else see
        `integrated_gradients`.

    Examples
    --------
    >>> embeddings = torch.tensor([[[1.0, 2.0], [0.0, -4.0]]])
    >>> embedding_attribution(lambda e: e.sum((1, 2)), embeddings)
    tensor([[ 3., -4.]])
    """
    if embeddings.ndim != 3:
        raise ValueError(
            f"embeddings must have shape (B, L, D), got {tuple(embeddings.shape)}"
        )
    if reduce not in ("sum", "norm"):
        raise ValueError(f"reduce must be 'sum' or 'norm', got {reduce!r}")
    terms = integrated_gradients(f, embeddings, baseline, steps=steps, rule=rule)
    return terms.sum(2) if reduce == "sum" else terms.norm(dim=2)


def deletion_insertion_curves(
    prob: Score,
    x: Tensor,
    baseline: Baseline,
    scores: Tensor,
    steps: int = 16,
) -> tuple[Tensor, Tensor]:
    """The score while features are replaced by the baseline's, or put in, best first.

    Features are single entries of `x`. Equal scores keep the order of the features, so
    that a map with many zeros is judged by that order, too.

    Parameters
    ----------
    prob
        Maps points (N, ...) to scores (N,), usually probabilities.
    x, baseline
        As in `integrated_gradients`.
    scores : (B, ...)
        Importance of each entry of `x`; the greatest comes first.
    steps
        Number of equal portions.

    Returns
    -------
    deletion, insertion : (B, steps + 1)
        The scores from `x` to `baseline`, and from `baseline` to `x`.

    Raises
    ------
    ValueError, TypeError
        `scores` of another shape than `x`, or NaN; else see `integrated_gradients`.
    """
    x, baseline = _checked(prob, x, baseline)
    steps = _whole("steps", steps)
    if scores.shape != x.shape:
        raise ValueError(
            f"scores must have the shape of x, {tuple(x.shape)}, "
            f"got {tuple(scores.shape)}"
        )
    if scores.isnan().any():
        raise ValueError("scores must not be NaN: they have no order")
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).reshape(x.shape)  # 0 for the most important
    features = rank[0].numel()
    curves: tuple[list[Tensor], list[Tensor]] = [], []
    with torch.no_grad():
        for step in range(steps + 1):
            first = rank < round(step * features / steps)
            for curve, inside, outside in (
                (curves[0], baseline, x),
                (curves[1], x, baseline),
            ):
                curve.append(_scores(prob, torch.where(first, inside, outside)))
    return torch.stack(curves[0], 1), torch.stack(curves[1], 1)


def deletion_insertion(
    prob: Score,
    x: Tensor,
    baseline: Baseline,
    scores: Tensor,
    steps: int = 16,
) -> tuple[Tensor, Tensor]:
    """Areas under the two curves of `deletion_insertion_curves`.

    A good order deletes fast (small area) and inserts fast (large area).

    Parameters
    ----------
    prob, x, baseline, scores, steps
        As in `deletion_insertion_curves`.

    Returns
    -------
    deletion, insertion : (B,)
        Mean scores along the way, by the trapezoid rule.

    Raises
    ------
    ValueError, TypeError
        See `deletion_insertion_curves`.

    Examples
    --------
    >>> x = torch.tensor([[4.0, 1.0]])
    >>> deletion_insertion(lambda p: p.sum(1), x, 0.0, scores=x, steps=2)
    (tensor([1.7500]), tensor([3.2500]))
    """
    deletion, insertion = deletion_insertion_curves(prob, x, baseline, scores, steps)
    _, weights = quadrature("trapezoid", steps + 1)
    weight = torch.as_tensor(weights, dtype=deletion.dtype, device=deletion.device)
    return deletion @ weight, insertion @ weight


def shapley(values: ArrayLike) -> NDArray[np.float64]:
    """Shapley values of a game.

    Parameters
    ----------
    values : (2**n,)
        The worth of every coalition; player i belongs to coalition s when bit i of s is
        set.

    Returns
    -------
    shares : (n,)
        They sum to ``values[-1] - values[0]``.

    Raises
    ------
    ValueError
        The number of values is no power of 2, or below 2.

    Examples
    --------
    Two gloves make a pair: players 0 and 1 own left ones, player 2 a right one.

    >>> shapley([0, 0, 0, 0, 0, 1, 1, 1]).round(3)
    array([0.167, 0.167, 0.667])
    """
    worth, players = _game(values)
    coalitions = np.arange(len(worth))
    size = np.bitwise_count(coalitions)
    shares = np.empty(players)
    for player in range(players):
        without = coalitions[(coalitions >> player) & 1 == 0]
        orders = [1 / (players * math.comb(players - 1, s)) for s in range(players)]
        gain = worth[without | 1 << player] - worth[without]
        shares[player] = np.take(orders, size[without]) @ gain
    return shares


def multilinear_extension(values: ArrayLike) -> Score:
    """The expected worth of a coalition that each player joins on his own.

    At corners of the cube it is the game itself; its integrated gradients along the
    diagonal are the Shapley values (`eq-owen-shapley`).

    Parameters
    ----------
    values : (2**n,)
        As in `shapley`.

    Returns
    -------
    f
        Maps the players' probabilities (N, n) to worths (N,).

    Raises
    ------
    ValueError
        As in `shapley`; by `f`, when its argument is not of shape (N, n).

    Examples
    --------
    >>> f = multilinear_extension([0, 0, 0, 1])
    >>> f(torch.tensor([[0.5, 0.5], [1.0, 1.0]]))
    tensor([0.2500, 1.0000])
    """
    worth, players = _game(values)

    def f(p: Tensor) -> Tensor:
        if p.ndim != 2 or p.shape[1] != players:
            raise ValueError(f"p must have shape (N, {players}), got {tuple(p.shape)}")
        left = torch.as_tensor(worth, dtype=p.dtype, device=p.device)[None]
        for player in reversed(range(players)):  # the highest bit first
            absent, present = left.unflatten(1, (2, -1)).unbind(1)
            left = absent + p[:, player, None] * (present - absent)
        return left.squeeze(1)

    return f


def digits_cnn(
    activation: Callable[[], nn.Module] = nn.ReLU,
    pool: Callable[[int], nn.Module] = nn.MaxPool2d,
) -> nn.Sequential:
    """A small classifier of 8 x 8 images into 10 classes, untrained.

    With ReLU it is piecewise linear. For one that is smooth take a smooth activation
    and `nn.AvgPool2d`. Weights come from torch's global generator
    (`kexue.randomness.seeded`).

    >>> digits_cnn()(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        activation(),
        nn.Conv2d(16, 32, 3, padding=1),
        activation(),
        pool(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        activation(),
        nn.Linear(64, 10),
    )


def _straight(
    start: Tensor, difference: Tensor, nodes: NDArray[np.float64]
) -> Callable[[int], Tensor]:
    return lambda k: start + float(nodes[k]) * difference


def _mean_gradient(
    f: Score,
    point: Callable[[int], Tensor],
    weights: NDArray[np.float64],
    batch_size: int | None,
    speed: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """The weighted sum over k of f's gradient at `point(k)`, times `speed(k)`."""
    parts = [
        torch.tensordot(torch.as_tensor(weights[nodes]).to(slopes), slopes, dims=1)
        for nodes, slopes in _gradients(f, point, len(weights), batch_size, speed)
    ]
    return torch.stack(parts).sum(0)


def _gradients(
    f: Score,
    point: Callable[[int], Tensor],
    count: int,
    batch_size: int | None,
    speed: Callable[[int], Tensor] | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """f's gradients at the points k < count, times their speeds: for each chunk of
    nodes its slice and an array (nodes, B, ...)."""
    start = 0
    while start < count:
        first = point(start)
        room = count if batch_size is None else batch_size // len(first)
        if not room:
            raise ValueError(
                f"batch_size must be at least the number of samples, {len(first)}, "
                f"got {batch_size}"
            )
        nodes = range(start, min(start + room, count))
        points = torch.cat([first, *(point(k) for k in nodes[1:])])
        slopes = _score_gradient(f, points).unflatten(0, (len(nodes), len(first)))
        if speed is not None:
            slopes = slopes * torch.stack([speed(k) for k in nodes])
        yield slice(start, nodes.stop), slopes
        start = nodes.stop


def _score_gradient(f: Score, points: Tensor) -> Tensor:
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        scores = _scores(f, points)
        if not scores.requires_grad:
            raise ValueError("f must be differentiable, but its scores have no graph")
        # scores of one point do not depend on the others, so one backward pass does all
        (slopes,) = torch.autograd.grad(scores.sum(), points, allow_unused=True)
    if slopes is None:
        raise ValueError("f must depend on its points, but its scores do not")
    return slopes


def _scores(f: Score, points: Tensor) -> Tensor:
    scores = f(points)
    if not isinstance(scores, Tensor) or scores.shape != (len(points),):
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores)
        raise ValueError(
            f"f must map {len(points)} points to scores of shape ({len(points)},), "
            f"got {found}"
        )
    return scores


def _change(f: Score, x: Tensor, baseline: Tensor, size: int) -> Tensor:
    """f(x) - f(baseline), in chunks of at most `size` samples."""
    with torch.no_grad():
        return torch.cat(
            [
                _scores(part, x[rows]) - _scores(part, baseline[rows])
                for rows in torch.arange(len(x), device=x.device).split(size)
                for part in [_rows(f, rows)]
            ]
        )


def _rows(f: Score, index: Tensor) -> Score:
    return f.rows(index) if isinstance(f, TargetScore) else f


def _checked(f: Score, x: Tensor, baseline: Baseline) -> tuple[Tensor, Tensor]:
    """The input and a baseline of its shape, or an error that says what is wrong."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x must be a float tensor, got {kind}")
    if x.ndim < 2 or not len(x):
        raise ValueError(f"x must have shape (B, ...), B > 0, got {tuple(x.shape)}")
    _refuse_train_mode(f)
    targets = f.target if isinstance(f, TargetScore) else None
    if isinstance(targets, Tensor) and len(targets) != len(x):
        raise ValueError(f"f has {len(targets)} targets, but x has {len(x)} samples")
    x = x.detach()
    if not isinstance(baseline, Tensor):
        return x, torch.full_like(x, 0.0 if baseline is None else baseline)
    if baseline.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"baseline must have shape {tuple(x.shape)} or {tuple(x.shape[1:])}, "
            f"got {tuple(baseline.shape)}"
        )
    _same_kind("baseline", baseline, x)
    return x, baseline.detach().expand_as(x)


def _same_kind(name: str, tensor: Tensor, x: Tensor) -> None:
    if (tensor.dtype, tensor.device) != (x.dtype, x.device):
        raise ValueError(
            f"{name} must be {x.dtype} on {x.device} like x, "
            f"got {tensor.dtype} on {tensor.device}"
        )


def _refuse_train_mode(f: Any) -> None:
    """Refuse modules whose scores are random or depend on the rest of the batch, where
    one can be found: f itself, the model of a target score, the owner of a method."""
    candidates = (f, getattr(f, "model", None), getattr(f, "__self__", None))
    for module in (
        m for c in candidates if isinstance(c, nn.Module) for m in c.modules()
    ):
        dropout = getattr(module, "p", 0) if "Dropout" in type(module).__name__ else 0
        if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
            dropout = module.dropout
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if module.training and (dropout or is_norm):
            raise ValueError(
                f"f holds a {type(module).__name__} in train mode: the score of a "
                "point is random or depends on other points; call model.eval() first"
            )


def _whole(name: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _game(values: ArrayLike) -> tuple[NDArray[np.float64], int]:
    worth = np.asarray(values, dtype=float)
    players = worth.size.bit_length() - 1
    if worth.ndim != 1 or players < 1 or worth.size != 1 << players:
        raise ValueError(
            f"values must have shape (2**n,) with n >= 1, got {worth.shape}"
        )
    return worth, players
