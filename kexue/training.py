"""The mini-batch training loop that several articles share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["fit"]


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
