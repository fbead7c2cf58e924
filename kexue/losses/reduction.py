"""What the losses of this part share: how losses of samples become one number."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["reduce_loss"]


def reduce_loss(losses: Tensor, reduction: str, mask: Tensor | None = None) -> Tensor:
    """Reduce losses as PyTorch's own loss functions do.

    Parameters
    ----------
    losses : (...)
        One loss a sample.
    reduction
        `"mean"` or `"sum"` over all samples, or `"none"`.
    mask : (...) bool, optional
        False leaves a sample out (padding, unlabelled pixels): of the mean its loss and
        its count; with `"none"` its loss is 0.

    Returns
    -------
    () or (...)

    Raises
    ------
    TypeError
        `mask` is not boolean.
    ValueError
        `reduction` is none of the three, or `mask` has another shape or keeps nothing.

    Examples
    --------
    >>> reduce_loss(torch.tensor([1.0, 2.0]), "mean")
    tensor(1.5000)
    >>> reduce_loss(torch.tensor([1.0, 2.0]), "mean", torch.tensor([True, False]))
    tensor(1.)
    """
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask must be boolean, got {mask.dtype}")
        if mask.shape != losses.shape or not mask.any():
            raise ValueError(
                f"mask must have the losses' shape {tuple(losses.shape)} and keep "
                f"something, got shape {tuple(mask.shape)} with {int(mask.sum())} True"
            )
        if reduction == "none":
            return losses.masked_fill(~mask, 0)
        losses = losses[mask]
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
