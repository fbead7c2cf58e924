"""Cost of weighting tasks, against the plain sum of their losses.

    python benchmarks/multitask.py

A network of three layers of 512 units with four heads, one step: forward pass, weights,
backward pass; the methods are interleaved in one process.

Here one step takes eight products of 512 x 512 x 256, and each task's gradient of the
last shared layer one more: with four tasks 1.5 is the least that arithmetic allows.
Gradients of the representation, that layer's output, cost the heads only.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import torch
from interleaved import compare
from torch import Tensor, nn

from kexue.losses.multitask import accumulate_normalized, combine, gradient_norm_weights

ROUNDS = 15
TASKS, WIDTH, BATCH = 4, 512, 256
AIMS = {
    "sum of logs": 1.2,
    "norms, representation": 1.5,
    "norms, last shared layer": 1.5,
}


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    encoder = nn.Sequential(*layers)
    last = list(encoder[-2].parameters())
    shared = list(encoder.parameters())
    heads = nn.ModuleList([nn.Linear(WIDTH, 1) for _ in range(TASKS)])
    private = list(heads.parameters())
    x, y = torch.randn(BATCH, WIDTH), torch.randn(BATCH, TASKS)

    def losses(hidden: Tensor | None = None) -> list[Tensor]:
        hidden = encoder(x) if hidden is None else hidden
        return [
            (head(hidden)[:, 0] - y[:, task]).square().mean()
            for task, head in enumerate(heads)
        ]

    def by_norm(params: list[nn.Parameter] | None) -> None:
        hidden = encoder(x)
        found = losses(hidden)
        weights = gradient_norm_weights(found, params or [hidden])
        combine(found, "weighted", weights=weights).backward()

    methods: dict[str, Callable[[], object]] = {
        "sum": lambda: combine(losses(), "sum").backward(),
        "sum of logs": lambda: combine(losses(), "log").backward(),
        "norms, representation": lambda: by_norm(None),
        "norms, last shared layer": lambda: by_norm(last),
        "norms, all shared layers": lambda: by_norm(shared),
        "one task after another": lambda: accumulate_normalized(
            losses(), shared, heads=private
        ),
    }

    def clear() -> None:
        encoder.zero_grad()
        heads.zero_grad()

    print(
        f"torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} thread(s), float32, 3 layers of {WIDTH}, {TASKS} "
        f"tasks, batch {BATCH},\nmedians of {ROUNDS} interleaved rounds; in brackets "
        "the extremes\n"
    )
    rows = compare(methods, rounds=ROUNDS, before=clear, aims=AIMS)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
