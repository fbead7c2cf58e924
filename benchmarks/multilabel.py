"""Speed of the multi-label softmax losses against PyTorch's binary cross-entropy.

    python benchmarks/multilabel.py

Forward and backward passes, interleaved in one process.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import torch
from interleaved import compare
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from kexue.losses.multilabel import (
    multilabel_softmax_loss,
    sparse_multilabel_softmax_loss,
)

ROUNDS = 15
NUM_POSITIVES = 4
SIZES = ((256, 500), (256, 5000), (32, 50_000))
AIMS = {"dense, bool targets": 5.0, "dense, float targets": 5.0, "sparse": 2.0}


def table(batch: int, num_classes: int) -> list[str]:
    """Rows for one size."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, num_classes, generator=generator, requires_grad=True)
    index = torch.rand(batch, num_classes, generator=generator).topk(NUM_POSITIVES)[1]
    labels = torch.zeros(batch, num_classes).scatter_(1, index, 1.0)
    positive = labels.bool()
    losses: dict[str, Callable[[], Tensor]] = {
        "BCE": lambda: F.binary_cross_entropy_with_logits(logits, labels),
        "dense, bool targets": lambda: multilabel_softmax_loss(logits, positive),
        "dense, float targets": lambda: multilabel_softmax_loss(logits, labels),
        "sparse": lambda: sparse_multilabel_softmax_loss(logits, index),
    }

    def clear() -> None:
        logits.grad = None

    steps = {name: lambda loss=loss: loss().backward() for name, loss in losses.items()}
    return compare(steps, rounds=ROUNDS, before=clear, aims=AIMS)


def main() -> None:
    """Print the table."""
    print(
        f"torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} thread(s), float32, {NUM_POSITIVES} positives, "
        f"medians of {ROUNDS} interleaved rounds; in brackets the extremes\n"
    )
    for batch, num_classes in SIZES:
        print(f"{batch} x {num_classes}")
        print("\n".join(table(batch, num_classes)))


if __name__ == "__main__":
    main()
