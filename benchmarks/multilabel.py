"""Speed of the multi-label softmax losses against PyTorch's binary cross-entropy.

    python benchmarks/multilabel.py

Forward and backward passes in one process; the methods take turns, so that a busy
machine slows all of them alike, and each turn is compared with the same turn's binary
cross-entropy. Nothing is asserted: the last column says whether the aim was met.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from kexue.losses.multilabel import (
    multilabel_softmax_loss,
    sparse_multilabel_softmax_loss,
)

ROUNDS = 15
NUM_POSITIVES = 4
SIZES = ((256, 500), (256, 5000), (32, 50_000))
AIMS = {"dense": 5.0, "sparse": 2.0}


def seconds(loss: Callable[[], Tensor], logits: Tensor) -> float:
    """Time of one forward and backward pass."""
    logits.grad = None
    start = time.perf_counter()
    loss().backward()
    return time.perf_counter() - start


def compare(batch: int, num_classes: int) -> list[str]:
    """Rows of the table for one size."""
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
    for loss in losses.values():
        seconds(loss, logits)
    runs = [
        {name: seconds(loss, logits) for name, loss in losses.items()}
        for _ in range(ROUNDS)
    ]
    rows = []
    for name in losses:
        ratios = sorted(run[name] / run["BCE"] for run in runs)
        ratio, aim = statistics.median(ratios), AIMS.get(name.split(",")[0])
        verdict = (
            "" if aim is None else f"<= {aim:g}: {'yes' if ratio <= aim else 'NO'}"
        )
        rows.append(
            f"{batch:5} x {num_classes:<6} {name:21} "
            f"{1e3 * statistics.median(run[name] for run in runs):8.2f} ms "
            f"{ratio:6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})  {verdict}"
        )
    return rows


def main() -> None:
    """Print the table."""
    print(
        f"torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} thread(s), float32, {NUM_POSITIVES} positives, "
        f"medians of {ROUNDS} interleaved rounds; in brackets the extremes\n"
    )
    print(f"{'batch x n':14} {'loss':21} {'time':>11} {'time/BCE':>6}")
    for size in SIZES:
        print("\n".join(compare(*size)))


if __name__ == "__main__":
    main()
