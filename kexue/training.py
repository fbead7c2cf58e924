"""The training loops that several articles share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["fit", "minimize"]


def fit(
    loss: Callable[..., Tensor],
    optimizer: torch.optim.Optimizer,
    data: Sequence[Tensor],
    *,
    epochs: int,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Minimise a loss by mini-batches drawn anew, without replacement, every epoch.

    Train and eval mode are left as they are: that is the caller's affair.

    Parameters
    ----------
    loss
        Called with one batch of each tensor of `data`; returns a scalar. It closes over
        the model.
    optimizer
        Holds the parameters and the step size.
    data
        Tensors of equal length: features, labels, whatever `loss` takes.
    epochs
        Passes through the data.
    batch_size
        Examples a step; the last batch of an epoch may be smaller.
    generator
        Shuffles.

    Returns
    -------
    losses : list of float
        The mean loss an example of each epoch, as met during the epoch.

    Raises
    ------
    ValueError
        No data, tensors of different length, or `epochs` or `batch_size` below 1.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 50)
    >>> slope = torch.zeros((), requires_grad=True)
    >>> losses = fit(
    ...     lambda x, y: ((slope * x - y) ** 2).mean(),
    ...     torch.optim.SGD([slope], lr=0.5),
    ...     (x, 3 * x),
    ...     epochs=20,
    ...     batch_size=10,
    ...     generator=torch.Generator().manual_seed(0),
    ... )
    >>> round(slope.item(), 3), losses[0] > losses[-1]
    (3.0, True)
    """
    lengths = [len(tensor) for tensor in data]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f"data must be non-empty tensors of one length, got {lengths}")
    if epochs < 1 or batch_size < 1:
        raise ValueError(
            f"epochs and batch_size must be at least 1, got {epochs} and {batch_size}"
        )
    losses = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(lengths[0], generator=generator).split(batch_size):
            optimizer.zero_grad()
            value = loss(*(tensor[rows] for tensor in data))
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        losses.append(total / lengths[0])
    return losses


def minimize(
    loss: Callable[..., Tensor],
    parameters: Sequence[Tensor],
    *,
    steps: int,
    lr: float,
    decay: bool = False,
) -> list[Tensor]:
    """Minimise by Adam on the full batch: many models at once, without torch.optim.

    Adam works entry by entry, so the runs of several seeds and losses, stacked on a
    leading axis of the parameters, train as they would alone when `loss` *adds* theirs.

    Parameters
    ----------
    loss
        Called with the parameters; returns a scalar.
    parameters
        Where to start; left as they are.
    steps
        At least 1.
    lr
        Step size, positive.
    decay
        Let the step size fall to 0 along half a cosine.

    Returns
    -------
    parameters : list of Tensor
        Without gradients.

    Raises
    ------
    ValueError
        `steps` below 1, or `lr` not positive.

    Notes
    -----
    Kingma and Ba 2015, with their constants .9, .999 and 1e-8.

    Examples
    --------
    >>> target = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    >>> (found,) = minimize(
    ...     lambda x: ((x - target) ** 2).sum(),
    ...     [torch.zeros(2, 2)],
    ...     steps=300,
    ...     lr=0.1,
    ...     decay=True,
    ... )
    >>> torch.allclose(found, target, atol=1e-4)
    True
    """
    if steps < 1 or not lr > 0:
        raise ValueError(
            f"steps must be at least 1 and lr positive, got {steps} and {lr}"
        )
    values = [value.detach().clone().requires_grad_() for value in parameters]
    means = [torch.zeros_like(value) for value in values]
    squares = [torch.zeros_like(value) for value in values]
    for step in range(1, steps + 1):
        rate = lr * (1 + math.cos(math.pi * (step - 1) / steps)) / 2 if decay else lr
        slopes = torch.autograd.grad(loss(*values), values)
        with torch.no_grad():
            for value, slope, mean, square in zip(
                values, slopes, means, squares, strict=True
            ):
                mean.lerp_(slope, 0.1)
                square.lerp_(slope**2, 0.001)
                scale = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
                value -= rate / (1 - 0.9**step) * mean / scale
    return [value.detach() for value in values]
