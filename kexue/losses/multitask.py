"""Several losses, one step: weights, means and gradient norms for multi-task learning.

Losses of different tasks have different units, so that their plain sum means little.
The remedies here either divide each loss by a yardstick of its own (`prior_loss`, a
running average), join the losses by a mean that ignores units (`combine`,
`power_mean`), learn the weights, or normalise each task's gradient.

Losses have shape (..., n), one column a task; a list of n scalars will do, too.
Leading axes hold independent models, trained at once. Every weight comes detached.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from kexue.losses.checks import (
    check_classes,
    check_floating,
    check_logits,
    check_shape,
)

__all__ = [
    "DWA",
    "GradNorm",
    "RunningLossWeights",
    "UncertaintyWeights",
    "accumulate_normalized",
    "combine",
    "geometric_median",
    "gradient_norm_weights",
    "initial_loss",
    "normalized_direction",
    "pareto_segment_critical_points",
    "power_mean",
    "power_mean_weights",
    "prior_loss",
    "task_gradients",
]

Losses = Tensor | Sequence[Tensor]

_STATE = {  # what `combine` takes for each method
    "sum": None,
    "weighted": "weights",
    "log": None,
    "detached": "average",
    "power": "gamma",
    "log_floor": "floor",
}
_KINDS = {  # a and b of the loss a exp(-s) L + b s
    "gaussian": (0.5, 0.5),
    "laplace": (1.0, 1.0),
    "classification": (1.0, 0.5),
}


def prior_loss(target: Tensor, kind: str, num_classes: int | None = None) -> Tensor:
    """Loss of the best constant predictor, the yardstick of no skill: `eq-prior-loss`.

    Parameters
    ----------
    target : (N,) integers, or (N,) or (N, d) floating point
        Classes, or values to regress on.
    kind
        `"classification"`: the entropy of the class frequencies, in nats.
        `"regression"`: the mean squared distance to the mean, summed over d outputs.
    num_classes
        If given, classes must lie below it. Classification only.

    Returns
    -------
    ()

    Raises
    ------
    TypeError
        Classes are no integers, or values no floating-point numbers.
    ValueError
        The loss is 0 (one class, constant values), so that no weight exists, or another
        argument is wrong.

    Examples
    --------
    >>> prior_loss(torch.tensor([0, 0, 0, 1]), "classification")
    tensor(0.5623)
    >>> prior_loss(torch.tensor([1.0, 3.0]), "regression")
    tensor(1.)
    """
    return _yardstick(target, kind, num_classes, centred=True)


def initial_loss(target: Tensor, kind: str, num_classes: int | None = None) -> Tensor:
    """Loss of a network whose output starts at zero, log K or the mean of the squared
    values: `eq-initial-loss`.

    It exceeds `prior_loss`, whose arguments it shares, by the classes' imbalance or the
    squared mean, which tell nothing of the difficulty. Without `num_classes`, K is one
    more than the greatest class.

    >>> initial_loss(torch.tensor([0, 0, 0, 1]), "classification")
    tensor(0.6931)
    """
    return _yardstick(target, kind, num_classes, centred=False)


def combine(losses: Losses, method: str, **state: Any) -> Tensor:
    """Join the tasks' losses into the one that is minimised.

    Parameters
    ----------
    losses : (..., n), or n scalars
        Losses, each in its own unit.
    method, state
        - `"sum"`: the plain sum;
        - `"weighted"` with `weights` (n,) or (..., n), none negative;
        - `"log"`: the sum of logarithms, n times the log of the geometric mean;
        - `"detached"`: the losses over their own detached values, which has value n and
          the gradient of `"log"` (`eq-detach-is-log`); with `average`, over that;
        - `"power"` with `gamma`: `power_mean`;
        - `"log_floor"` with `floor` (n,) or (..., n): the sum of log(L + floor), say
          with a tenth of the prior losses, which bounds each weight by 1 / floor.

    Returns
    -------
    (...)

    Raises
    ------
    TypeError
        Losses are not of floating point, or `state` does not belong to the method.
    ValueError
        No tasks; a loss that is no scalar, not finite, or not positive where its log or
        inverse is needed (the message names the task); or an unknown method.

    Examples
    --------
    >>> losses = torch.tensor([4.0, 0.25])
    >>> combine(losses, "log"), combine(losses, "weighted", weights=1 / losses)
    (tensor(0.), tensor(2.))
    """
    if method not in _STATE:
        raise ValueError(f"method must be one of {', '.join(_STATE)}; got {method!r}")
    key = _STATE[method]
    missing = key not in state and key not in (None, "average")
    if missing or state.keys() - {key}:
        raise TypeError(
            f"method {method!r} takes {'no state' if key is None else key}, "
            f"got {', '.join(state) or 'nothing'}"
        )
    if method == "power":
        return power_mean(losses, state["gamma"])
    losses = _checked(losses, positive=method in ("log", "detached"))
    if method == "sum":
        return losses.sum(-1)
    if method == "log":
        return losses.log().sum(-1)
    if method == "detached" and "average" not in state:
        return (losses / losses.detach()).sum(-1)
    given = _beside(state[str(key)], str(key), losses, zero=method == "weighted")
    if method == "log_floor":
        _refuse(losses, losses < 0, "losses", "at least 0")
        return (losses + given).log().sum(-1)
    return (losses * given if method == "weighted" else losses / given).sum(-1)


def power_mean(losses: Losses, gamma: float) -> Tensor:
    """Generalised mean (mean of L^gamma)^(1/gamma), from min to max: `eq-power-mean`.

    Parameters
    ----------
    losses : (..., n), or n scalars
        Positive.
    gamma
        -inf is the minimum, 0 the geometric mean, 1 the mean, inf the maximum.

    Returns
    -------
    (...)

    Raises
    ------
    ValueError
        A loss is not finite or not positive, or `gamma` is nan.

    Notes
    -----
    With the dominating loss factored out, log M = log L* + log1p(mean of
    expm1(gamma log(L / L*))) / gamma: no exponent is positive, and nothing cancels for
    small gamma, in float32 either. Below 1e-6 two terms of the series take over.

    Examples
    --------
    >>> losses = torch.tensor([1.0, 10.0, 100.0])
    >>> power_mean(losses, 0.0), power_mean(losses, 1.0)
    (tensor(10.), tensor(37.))
    """
    return _power_mean(_checked(losses, positive=True), gamma)


def power_mean_weights(losses: Losses, gamma: float) -> Tensor:
    """Gradient of `power_mean`, (L / M)^(gamma - 1) / n, detached: (..., n).

    At an infinite gamma the extreme losses share the weight 1.

    >>> power_mean_weights(torch.tensor([1.0, 10.0, 100.0]), 0.0)
    tensor([3.3333, 0.3333, 0.0333])
    """
    losses = _checked(losses, positive=True).detach()
    mean = _power_mean(losses, gamma).unsqueeze(-1)
    if math.isinf(gamma):
        extreme = (losses == mean).to(losses.dtype)
        return extreme / extreme.sum(-1, keepdim=True)
    return ((gamma - 1) * (losses / mean).log()).exp() / losses.shape[-1]


class RunningLossWeights:
    """Weights 1 / (running average of the loss), the remedy of `eq-minibatch-bias`.

    The average starts at the first losses; started elsewhere, it would not follow a
    change of units during its first steps.

    Parameters
    ----------
    momentum
        Share of the old average that stays, in [0, 1); 0 gives 1 / loss.

    Attributes
    ----------
    average : (..., n) or None
        The running average.

    Examples
    --------
    >>> weights = RunningLossWeights(0.9)
    >>> weights.update(torch.tensor([4.0, 0.25])), weights.update(torch.ones(2))
    (tensor([0.2500, 4.0000]), tensor([0.2703, 3.0769]))
    """

    def __init__(self, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        self.momentum = momentum
        self.average: Tensor | None = None

    def update(self, losses: Losses) -> Tensor:
        """Take this step's losses (..., n) in; return its weights (..., n)."""
        losses = _checked(losses, positive=True).detach()
        if self.average is None:
            self.average = losses.clone()
        else:
            self.average = torch.lerp(losses, self.average, self.momentum)
        return 1 / self.average


class UncertaintyWeights(nn.Module):
    """The sum of a exp(-s) L + b s with a learnt s for each task.

    At its optimum `s = log(a L / b)` it is b times `combine(losses, "log")`, up to a
    constant (`eq-uncertainty-weighting`); learnt by gradient, s lags behind.

    Parameters
    ----------
    n
        Number of tasks, or a shape (..., n) for independent models.
    init
        First value of s. `"log_loss"`: the optimum; then `update` comes before the
        first step, without which `forward` raises a `RuntimeError`.
    kind
        Of all tasks, or of each: `"gaussian"` (a = b = 1/2; s is the log variance),
        `"laplace"` (a = b = 1; s is the log scale) or `"classification"` (a = 1,
        b = 1/2).

    Examples
    --------
    >>> losses = torch.tensor([4.0, 0.25])
    >>> weighting = UncertaintyWeights(2)
    >>> weighting.update(losses)
    >>> weighting(losses).item(), weighting.log_variance.exp().tolist()
    (1.0, [4.0, 0.25])
    """

    scale: Tensor
    slope: Tensor
    started: Tensor

    def __init__(
        self,
        n: int | tuple[int, ...],
        init: float | str = "log_loss",
        kind: str | Sequence[str] = "gaussian",
    ) -> None:
        super().__init__()
        shape = (n,) if isinstance(n, int) else tuple(n)
        if not shape or min(shape) < 1:
            raise ValueError(f"n must be positive, a number or a shape, got {n}")
        if isinstance(init, str) and init != "log_loss":
            raise ValueError(f"init must be a number or 'log_loss', got {init!r}")
        kinds = [kind] * shape[-1] if isinstance(kind, str) else list(kind)
        if len(kinds) != shape[-1] or not set(kinds) <= set(_KINDS):
            raise ValueError(
                f"kind must be one of {', '.join(_KINDS)}, or {shape[-1]} of them; "
                f"got {kind!r}"
            )
        start = torch.full(shape, 0.0 if isinstance(init, str) else float(init))
        self.log_variance = nn.Parameter(start)
        self.register_buffer("scale", torch.tensor([_KINDS[k][0] for k in kinds]))
        self.register_buffer("slope", torch.tensor([_KINDS[k][1] for k in kinds]))
        self.register_buffer("started", torch.tensor(not isinstance(init, str)))

    def _checked(self, losses: Losses, *, positive: bool = False) -> Tensor:
        losses = _checked(losses, positive=positive)
        check_shape("losses", losses, self.log_variance.shape)
        return losses

    @torch.no_grad()
    def update(self, losses: Losses) -> None:
        """Set every s to its optimum: once, to start there; at each step, to stay."""
        losses = self._checked(losses, positive=True)
        self.log_variance.copy_((self.scale * losses / self.slope).log())
        self.started.fill_(True)

    def forward(self, losses: Losses) -> Tensor:
        """The joint loss (...), which trains the s as well, of losses (..., n)."""
        if not self.started:
            raise RuntimeError("init is 'log_loss': call update(losses) first")
        losses = self._checked(losses)
        s = self.log_variance
        return (self.scale * (-s).exp() * losses + self.slope * s).sum(-1)


class DWA:
    """Dynamic weight averaging: n softmax(r / T), r the last loss over the one before.

    Free of units, and powerless against them: see `eq-dwa-bound`.

    Parameters
    ----------
    n
        Number of tasks.
    T
        Temperature, > 0.

    Examples
    --------
    >>> dwa = DWA(2, T=2.0)
    >>> dwa.update(torch.tensor([4.0, 1e6])), dwa.update(torch.tensor([4.0, 5e5]))
    (tensor([1., 1.]), tensor([1.1244, 0.8756]))
    """

    def __init__(self, n: int, T: float = 2.0) -> None:
        if n < 1 or not T > 0:
            raise ValueError(f"n must be at least 1 and T positive, got {n} and {T}")
        self.n, self.T = n, T
        self.previous: Tensor | None = None

    def update(self, losses: Losses) -> Tensor:
        """Take an epoch's mean losses (..., n) in; return the next epoch's weights."""
        losses = _tasks(_checked(losses, positive=True).detach(), self.n)
        previous, self.previous = self.previous, losses.clone()
        if previous is None:
            return torch.ones_like(losses)
        check_shape("losses", losses, previous.shape)
        ratio = losses / previous
        return self.n * torch.softmax(ratio / self.T, -1)


class GradNorm:
    """Weights that are pushed towards equal norms of the weighted gradients, times a
    training rate: `eq-gradnorm-fixed-point`.

    One update is a subgradient step on the sum of abs(w_i g_i - G r_i^alpha), where g_i
    are the gradient norms, G is the mean of w_i g_i and r_i = L_i / L_i(0) over its
    mean; then the weights are scaled to the sum n.

    Parameters
    ----------
    n
        Number of tasks.
    alpha : float, or tensor that broadcasts to (..., n)
        Strength of the training rate, >= 0; 0 ignores it.
    lr
        Step size, > 0; it may be changed between updates, and must fall for the weights
        to settle.
    normalize_targets
        Divide r^alpha by its mean. As published (False) the targets do not add up
        unless alpha is 0 or 1, and cannot all be met.

    Attributes
    ----------
    weights : (n,) or (..., n)
        All 1 at first.
    initial : (..., n) or None
        The losses of the first update.

    Examples
    --------
    >>> balance = GradNorm(2, alpha=0.0, lr=0.1)
    >>> balance.update(torch.tensor([1.0, 1.0]), norms=torch.tensor([3.0, 1.0]))
    tensor([0.7778, 1.2222])
    """

    def __init__(
        self,
        n: int,
        alpha: float | Tensor = 1.5,
        lr: float = 0.025,
        *,
        normalize_targets: bool = False,
    ) -> None:
        if n < 1 or not lr > 0:
            raise ValueError(f"n must be at least 1 and lr positive, got {n} and {lr}")
        if not (torch.as_tensor(alpha) >= 0).all():
            raise ValueError(f"alpha must be at least 0, got {alpha}")
        self.n, self.alpha, self.lr = n, alpha, lr
        self.normalize_targets = normalize_targets
        self.weights = torch.ones(n)
        self.initial: Tensor | None = None

    def update(self, losses: Losses, norms: Tensor) -> Tensor:
        """Step once from losses (..., n) and their unweighted gradient norms (..., n).

        Raises a `ValueError` when a weight would not stay positive: `lr` is too great.
        """
        losses = _tasks(_checked(losses, positive=True).detach(), self.n)
        norms = _checked(norms, name="norms")
        check_shape("norms", norms, losses.shape)
        _refuse(norms, norms < 0, "norms", "at least 0")
        if self.initial is None:
            self.initial = losses.clone()
        check_shape("losses", losses, self.initial.shape)
        ratio = losses / self.initial
        target = (ratio / ratio.mean(-1, keepdim=True)) ** self.alpha
        if self.normalize_targets:
            target = target / target.mean(-1, keepdim=True)
        before = self.weights.to(losses) * norms
        excess = before - before.mean(-1, keepdim=True) * target
        weights = self.weights.to(losses) - self.lr * excess.sign() * norms
        _refuse(
            weights, weights <= 0, "weights", f"positive; lr = {self.lr} is too much"
        )
        self.weights = self.n * weights / weights.sum(-1, keepdim=True)
        return self.weights


def task_gradients(losses: Losses, params: Iterable[Tensor]) -> Tensor:
    """Each task's gradient, flattened over all parameters: n backward passes.

    The graph is kept, so that a backward pass of the combined loss may follow.

    Parameters
    ----------
    losses : (..., n), or n scalars
        Of models that share nothing along the leading axes.
    params
        Tensors with those leading axes; for one model, any tensors. For weights
        take the parameters that tasks share, or the last layer of those.

    Returns
    -------
    (..., n, p)
        Zeros where a task does not use a parameter.

    Raises
    ------
    ValueError
        No parameters, wrong leading axes, or a loss that depends on no parameter.

    Examples
    --------
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> task_gradients([w.sum(), (w**2).sum()], [w])
    tensor([[1., 1.],
            [2., 4.]])
    """
    rows = [torch.cat(flat, -1) for flat in _flat_gradients(losses, params)]
    return torch.stack(rows, -2)


def gradient_norm_weights(
    losses: Losses, params: Iterable[Tensor], eps: float = 1e-12
) -> Tensor:
    """Weights 1 / (norm of the task's gradient): `eq-gradient-norm-weights`.

    Parameters
    ----------
    losses, params
        As in `task_gradients`. All shared parameters cost n backward passes, the last
        shared layer much less, and its output (`params=[h]` below) next to nothing.
    eps
        Least norm that is divided by. Near a task's own optimum the norm vanishes.

    Returns
    -------
    (..., n)
        For `combine(losses, "weighted", weights=...)`.

    Examples
    --------
    A shared encoder with two heads; its last layer stands for all that is shared:

    >>> encoder, heads = nn.Linear(5, 3), nn.ModuleList([nn.Linear(3, 1)] * 2)
    >>> h = encoder(torch.ones(4, 5)).tanh()
    >>> losses = [head(h).square().mean() for head in heads]
    >>> weights = gradient_norm_weights(losses, encoder.parameters())
    >>> combine(losses, "weighted", weights=weights).backward()
    """
    norms = [  # part by part: the gradients are never stored side by side
        torch.stack([part.norm(dim=-1) for part in flat], -1).norm(dim=-1)
        for flat in _flat_gradients(losses, params)
    ]
    return 1 / torch.stack(norms, -1).clamp(min=_positive("eps", eps))


def normalized_direction(
    losses: Losses, params: Iterable[Tensor], eps: float = 1e-12
) -> Tensor:
    """Sum of the tasks' gradients, each over its norm: (..., p).

    >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
    >>> normalized_direction([(w**2).sum(), 1e6 * w[0] + 7], [w])
    tensor([1.6000, 0.8000])
    """
    gradients = task_gradients(losses, params)
    norms = gradients.norm(dim=-1, keepdim=True).clamp(min=_positive("eps", eps))
    return (gradients / norms).sum(-2)


def accumulate_normalized(
    losses: Iterable[Tensor],
    params: Iterable[Tensor],
    eps: float = 1e-12,
    *,
    heads: Iterable[Tensor] = (),
) -> Tensor:
    """Add each task's normalised gradient to `.grad`, one task after another.

    Needs no more than a first-order backward pass a task. A generator of losses keeps
    one task's graph alive at a time.

    Parameters
    ----------
    losses
        One scalar a task.
    params
        The shared parameters, over which the norms are taken.
    eps
        Least norm that is divided by.
    heads
        Private parameters: divided by the same norms, in which they do not count.

    Returns
    -------
    (n,)
        The norms.

    Examples
    --------
    >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
    >>> accumulate_normalized((c * (w**2).sum() for c in (1, 1000)), [w])
    tensor([   10., 10000.])
    >>> w.grad
    tensor([1.2000, 1.6000])
    """
    shared, norms = _parameters(params), list[Tensor]()
    every = shared + list(heads)
    for loss in losses:  # no enumerate: it would hold on to the loss, and its graph
        _checked([loss], first=len(norms))
        gradients = _gradients(loss, every)
        flat = torch.cat([g.reshape(-1) for g in gradients[: len(shared)]])
        norms.append(flat.norm())
        for param, gradient in zip(every, gradients, strict=True):
            step = gradient / norms[-1].clamp(min=_positive("eps", eps))
            param.grad = step if param.grad is None else param.grad + step
        del loss  # the next graph is made before this name is used again
    if not norms:
        raise ValueError("losses must hold at least one task, got none")
    return torch.stack(norms)


def pareto_segment_critical_points(D: float, c: float) -> NDArray[np.float64]:
    """Where log(t² + c) + log((D - t)² + c) is stationary: `eq-log-sum-pitchfork`.

    Parameters
    ----------
    D
        Distance of the two tasks' optima, > 0.
    c
        The floor of either loss, >= 0.

    Returns
    -------
    (1,) or (3,)
        Ascending. The midpoint alone, a minimum, when c >= D²/4; otherwise two minima
        with the midpoint, a maximum, between them.

    Raises
    ------
    ValueError
        `D` is not positive, or `c` is negative.

    Examples
    --------
    >>> pareto_segment_critical_points(2.0, 0.5).round(3)
    array([0.293, 1.   , 1.707])
    """
    if not D > 0 or not c >= 0:
        raise ValueError(f"D must be positive and c at least 0, got {D} and {c}")
    inner = D * D / 4 - c
    offsets = np.array([0.0]) if inner <= 0 else np.sqrt(inner) * np.array([-1, 0, 1])
    return D / 2 + offsets


def geometric_median(
    points: ArrayLike, tol: float = 1e-12, max_iter: int = 100_000
) -> NDArray[np.float64]:
    """The point with the least total distance to the given ones: `eq-geometric-median`.

    Parameters
    ----------
    points : (n, d)
        If they lie on one line and n is even, one of many medians is found.
    tol
        Stop at steps below `tol` times the spread of the points.
    max_iter
        Most steps.

    Returns
    -------
    (d,) float64

    Raises
    ------
    ValueError
        `points` is not of shape (n, d) with n >= 1, or not finite.
    RuntimeError
        No convergence in `max_iter` steps.

    Notes
    -----
    Weiszfeld's iteration, after a test of whether one of the points is the median: it
    is when the pull of the others does not exceed its own weight.

    >>> geometric_median([[0, 0], [4, 0], [1, 3]]).round(4)
    array([1.3022, 1.0467])
    """
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or not points.size or not np.isfinite(points).all():
        raise ValueError(
            f"points must be finite, of shape (n, d) with n >= 1, got {points.shape}"
        )

    def pull(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
        """Pull of the points away from x, its stiffness, and how many lie at x."""
        gaps = points - x
        distances = np.linalg.norm(gaps, axis=1)
        away = distances > 0
        inverse = 1 / distances[away]
        return inverse @ gaps[away], float(inverse.sum()), float((~away).sum())

    for point in points:
        force, _, weight = pull(point)
        if np.linalg.norm(force) <= weight * (1 + 1e-12):
            return point.copy()
    x = points.mean(axis=0)
    small = tol * float(np.linalg.norm(points - x, axis=1).max())
    for _ in range(max_iter):
        force, stiffness, weight = pull(x)
        # a point in the way holds the iterate with its weight (Vardi and Zhang 2000)
        size = max(float(np.linalg.norm(force)), 1e-300)
        step = force / stiffness * (1 - weight / size)
        x = x + step
        if np.linalg.norm(step) <= small:
            return x
    raise RuntimeError(f"no convergence in max_iter = {max_iter} steps")


def _yardstick(
    target: Tensor, kind: str, num_classes: int | None, centred: bool
) -> Tensor:
    if kind not in ("classification", "regression"):
        raise ValueError(f"kind must be 'classification' or 'regression', got {kind!r}")
    if not isinstance(target, Tensor):
        raise TypeError(f"target must be a tensor, got {type(target).__name__}")
    if target.ndim not in ((1,) if kind == "classification" else (1, 2)) or (
        target.numel() == 0
    ):
        shape = "(N,)" if kind == "classification" else "(N,) or (N, d)"
        raise ValueError(f"target must have shape {shape}, got {tuple(target.shape)}")
    if kind == "classification":
        most = 2**31 if num_classes is None else num_classes
        check_classes("target", target, most)
        counts = torch.bincount(target, minlength=num_classes or 0)
        share = counts.to(torch.get_default_dtype()) / len(target)
        if not centred:
            share = torch.full_like(share, 1 / len(share))
        loss = torch.special.entr(share).sum()
    else:
        if num_classes is not None:
            raise ValueError(
                f"num_classes is for classification only, got {num_classes}"
            )
        check_floating(target, "target")
        values = target - target.mean(0) if centred else target
        loss = (values**2).mean(0).sum()
    if not loss > 0 or not torch.isfinite(loss):
        raise ValueError(
            f"target has the {'prior' if centred else 'initial'} loss {loss.item()}, "
            "so there is no weight: expected two classes or values that differ"
        )
    return loss


def _power_mean(losses: Tensor, gamma: float) -> Tensor:
    if math.isnan(gamma):
        raise ValueError("gamma must be a number or infinite, got nan")
    if math.isinf(gamma):
        return losses.amax(-1) if gamma > 0 else losses.amin(-1)
    logs = losses.log()
    if abs(gamma) < 1e-6:
        mean = logs.mean(-1)
        return (mean + gamma / 2 * logs.var(-1, correction=0)).exp()
    first = logs.amax(-1, True) if gamma > 0 else logs.amin(-1, True)
    first = first.detach()  # it drops out of the value, and so of the gradient
    mean = torch.expm1(gamma * (logs - first)).mean(-1)
    return (first.squeeze(-1) + torch.log1p(mean) / gamma).exp()


def _checked(
    losses: Losses, *, positive: bool = False, name: str = "losses", first: int = 0
) -> Tensor:
    """Losses as a finite tensor (..., n); `first` is the number of the first task."""
    if not isinstance(losses, Tensor):
        losses = list(losses)
        if not losses:
            raise ValueError(f"{name} must hold at least one task, got none")
        for task, loss in enumerate(losses, first):
            check_floating(loss, f"{name}[{task}]")
            if loss.ndim:
                raise ValueError(
                    f"{name}[{task}] must be a scalar, got shape {tuple(loss.shape)}"
                )
        losses = torch.stack(losses)
    check_logits(losses, name)
    _refuse(losses, ~torch.isfinite(losses), name, "finite", first)
    if positive:
        _refuse(losses, losses <= 0, name, "positive (shift by a lower bound)", first)
    return losses


def _refuse(
    values: Tensor, wrong: Tensor, name: str, wanted: str, first: int = 0
) -> None:
    if wrong.any():
        where = wrong.nonzero()[0]
        value, task = values[tuple(where)].item(), first + int(where[-1])
        raise ValueError(f"{name} must be {wanted}, got {value:.6g} for task {task}")


def _beside(value: Any, name: str, losses: Tensor, zero: bool) -> Tensor:
    """A tensor (n,) or (..., n) of numbers that go with the losses, detached."""
    value = torch.as_tensor(value, dtype=losses.dtype, device=losses.device).detach()
    if value.shape not in (losses.shape, losses.shape[-1:]):
        raise ValueError(
            f"{name} must have shape {tuple(losses.shape[-1:])} or "
            f"{tuple(losses.shape)}, got {tuple(value.shape)}"
        )
    _refuse(value, ~torch.isfinite(value), name, "finite")
    wrong = value < 0 if zero else value <= 0
    _refuse(value, wrong, name, "at least 0" if zero else "positive")
    return value


def _tasks(losses: Tensor, n: int) -> Tensor:
    if losses.shape[-1] != n:
        raise ValueError(f"losses must be those of {n} tasks, got {losses.shape[-1]}")
    return losses


def _parameters(params: Iterable[Tensor]) -> list[Tensor]:
    params = [params] if isinstance(params, Tensor) else list(params)
    if not params:
        raise ValueError("params must hold at least one tensor, got none")
    for number, param in enumerate(params):
        if not isinstance(param, Tensor) or not param.requires_grad:
            raise ValueError(f"params[{number}] must be a tensor that requires grad")
    return params


def _flat_gradients(losses: Losses, params: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """For one task after another, the gradient of each parameter as (..., size)."""
    losses, params = _checked(losses), _parameters(params)
    lead = losses.shape[:-1]
    for number, param in enumerate(params):
        if param.shape[: len(lead)] != lead:
            raise ValueError(
                f"params[{number}] must have the losses' leading shape {tuple(lead)}, "
                f"got {tuple(param.shape)}"
            )
    for loss in losses.unbind(-1):
        yield [g.reshape(*lead, -1) for g in _gradients(loss.sum(), params)]


def _gradients(loss: Tensor, params: list[Tensor]) -> list[Tensor]:
    if not loss.requires_grad:
        raise ValueError("losses must depend on params: one of them requires no grad")
    found = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(param) if gradient is None else gradient
        for param, gradient in zip(params, found, strict=True)
    ]


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value
