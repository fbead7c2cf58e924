"""What the losses of this part share: how losses of samples become one number."""

from __future__ import annotations

from torch import Tensor

__all__ = ["reduce_loss"]


def reduce_loss(losses: Tensor, reduction: str) -> Tensor:
    """Reduce losses as PyTorch's own loss functions do.

    Parameters
    ----------
    losses : (...)
        One loss a sample.
    reduction
        `"mean"` or `"sum"` over all samples, or `"none"`.

    Returns
    -------
    () or (...)

    Raises
    ------
    ValueError
        `reduction` is none of the three.

    >>> import torch
    >>> reduce_loss(torch.tensor([1.0, 2.0]), "mean")
    tensor(1.5000)
    """
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
