"""Speed of the logit-adjusted losses against PyTorch's cross-entropy.

    python benchmarks/logit_adjustment.py

Forward and backward passes in one process; the methods take turns, so that a busy
machine slows all of them alike, and each turn is compared with the same turn's
cross-entropy. Nothing is asserted: the last column says whether the aim was met. The
addition by hand, `F.cross_entropy(logits + prior, targets)`, is what it can reach.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from kexue.losses.logit_adjustment import (
    log_prior,
    logit_adjusted_loss,
    margins_logit_adjusted,
    pairwise_margin_loss,
    vs_loss,
)

ROUNDS = 25
SIZES = ((4096, 100), (4096, 1000), (256, 32_000))
AIMS = {"logit-adjusted": 1.15}
LARGEST_TABLE = 1000  # of pairwise margins, classes


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
    targets = torch.randint(num_classes, (batch,), generator=generator)
    prior = log_prior(1 / torch.arange(1.0, num_classes + 1))
    added = prior.float()
    losses: dict[str, Callable[[], Tensor]] = {
        "cross-entropy": lambda: F.cross_entropy(logits, targets),
        "added by hand": lambda: F.cross_entropy(logits + added, targets),
        "logit-adjusted": lambda: logit_adjusted_loss(logits, targets, prior),
        "vector scaling": lambda: vs_loss(logits, targets, prior, 1.0, 0.2),
    }
    if num_classes <= LARGEST_TABLE:
        delta = margins_logit_adjusted(prior).float()
        losses["pairwise margins"] = lambda: pairwise_margin_loss(
            logits, targets, delta
        )
    for loss in losses.values():
        seconds(loss, logits)
    runs = [
        {name: seconds(loss, logits) for name, loss in losses.items()}
        for _ in range(ROUNDS)
    ]
    rows = []
    for name in losses:
        ratios = sorted(run[name] / run["cross-entropy"] for run in runs)
        ratio, aim = statistics.median(ratios), AIMS.get(name)
        verdict = (
            "" if aim is None else f"<= {aim:g}: {'yes' if ratio <= aim else 'NO'}"
        )
        rows.append(
            f"{batch:5} x {num_classes:<6} {name:17} "
            f"{1e3 * statistics.median(run[name] for run in runs):8.2f} ms "
            f"{ratio:6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})  {verdict}"
        )
    return rows


def main() -> None:
    """Print the table."""
    print(
        f"torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} thread(s), float32, "
        f"medians of {ROUNDS} interleaved rounds; in brackets the extremes\n"
    )
    print(f"{'batch x classes':14} {'loss':17} {'time':>10} {'ratio':>6}")
    for size in SIZES:
        print("\n".join(compare(*size)))


if __name__ == "__main__":
    main()
