"""Speed of the logit-adjusted losses against PyTorch's cross-entropy.

    python benchmarks/logit_adjustment.py

Forward and backward passes, interleaved in one process. The addition by hand,
`F.cross_entropy(logits + prior, targets)`, is what the loss can reach.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import torch
from interleaved import compare
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


def table(batch: int, num_classes: int) -> list[str]:
    """Rows for one size."""
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

    def clear() -> None:
        logits.grad = None

    steps = {name: lambda loss=loss: loss().backward() for name, loss in losses.items()}
    return compare(steps, rounds=ROUNDS, before=clear, aims=AIMS)


def main() -> None:
    """Print the table."""
    print(
        f"torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} thread(s), float32, "
        f"medians of {ROUNDS} interleaved rounds; in brackets the extremes\n"
    )
    for batch, num_classes in SIZES:
        print(f"{batch} x {num_classes}")
        print("\n".join(table(batch, num_classes)))


if __name__ == "__main__":
    main()
