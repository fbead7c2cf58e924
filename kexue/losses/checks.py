"""Refusals that the losses of this part share: what came, what was expected."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "binary_targets",
    "check_classes",
    "check_floating",
    "check_logits",
    "check_same_shape",
    "check_shape",
    "class_targets",
]


def check_floating(value: Tensor, name: str = "logits") -> None:
    """Raise a `TypeError` unless `value` is a tensor of floating point."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {value.dtype}")


def check_logits(logits: Tensor, name: str = "logits") -> None:
    """Refuse what is no floating tensor of shape (..., n), n >= 1.

    Raises
    ------
    TypeError
        No tensor, or not of floating point.
    ValueError
        A scalar, or no class.
    """
    check_floating(logits, name)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"{name} must have shape (..., n) with n >= 1, got {tuple(logits.shape)}"
        )


def check_same_shape(
    name: str, value: Tensor, logits: Tensor, other: str = "logits"
) -> None:
    """Refuse a `value` that is no tensor (`TypeError`) of the logits' shape; `other`
    is what the message calls them."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if value.shape != logits.shape:
        raise ValueError(
            f"{name} and {other} must have the same shape, got {tuple(value.shape)} "
            f"and {tuple(logits.shape)}"
        )


def check_shape(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a `value` that is not of floating point (`TypeError`) and that `shape`."""
    check_floating(value, name)
    if value.shape != shape:
        raise ValueError(
            f"{name} must have shape {tuple(shape)}, got {tuple(value.shape)}"
        )


def check_classes(name: str, index: Tensor, num_classes: int) -> None:
    """Refuse an `index` that holds something else than class numbers.

    Raises
    ------
    TypeError
        Not of an integer type.
    ValueError
        A number outside 0..num_classes - 1; the message names it.
    """
    if index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers, got {index.dtype}")
    wrong = (index < 0) | (index >= num_classes)
    if wrong.any():
        raise ValueError(
            f"{name} must lie in 0..{num_classes - 1}, got {index[wrong][0].item()}"
        )


def class_targets(name: str, targets: Tensor, logits: Tensor) -> Tensor:
    """Class numbers as int64, when they fit the logits: (...) for logits (..., K).

    >>> class_targets("targets", torch.tensor([2, 0], dtype=torch.int32),
    ...               torch.zeros(2, 3))
    tensor([2, 0])
    """
    check_logits(logits)
    if not isinstance(targets, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(targets).__name__}")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"{name} must have shape {tuple(logits.shape[:-1])}, the batch shape "
            f"of the logits, got {tuple(targets.shape)}"
        )
    check_classes(name, targets, logits.shape[-1])
    return targets.long()


def binary_targets(
    name: str, targets: Tensor, logits: Tensor, other: str = "logits"
) -> Tensor:
    """Targets 0 or 1 of any dtype as booleans, when they have the logits' shape;
    `other` is what messages call the logits.

    >>> binary_targets("targets", torch.tensor([1.0, 0.0]), torch.zeros(2))
    tensor([ True, False])
    """
    check_floating(logits, other)
    check_same_shape(name, targets, logits, other)
    if targets.dtype == torch.bool:
        return targets
    wrong = (targets != 0) & (targets != 1)
    if wrong.any():
        raise ValueError(f"{name} must be 0 or 1, got {targets[wrong][0].item()}")
    return targets == 1
