"""Cost of weighting tasks, against the plain sum of their losses.

    python benchmarks/multitask.py

A network of three layers of 512 units with four heads, one step: forward pass, weights,
backward pass. The methods take turns in one process, so that a busy machine slows all
of them alike, and each turn is compared with the same turn's plain sum. Nothing is
asserted: the last column says whether the aim was met.

Here one step takes eight products of 512 x 512 x 256, and each task's gradient of the
last shared layer one more: with four tasks 1.5 is the least that arithmetic allows.
Gradients of the representation, that layer's output, cost the heads only.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch
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

    def seconds(step: Callable[[], object]) -> float:
        encoder.zero_grad()
        heads.zero_grad()
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    for _ in range(3):
        for step in methods.values():
            seconds(step)
    runs = [
        {name: seconds(step) for name, step in methods.items()} for _ in range(ROUNDS)
    ]
    print(
        f"torch {torch.__version__}, {platform.machine()}, "
        f"{torch.get_num_threads()} thread(s), float32, 3 layers of {WIDTH}, {TASKS} "
        f"tasks, batch {BATCH},\nmedians of {ROUNDS} interleaved rounds; in brackets "
        "the quartiles\n"
    )
    print(f"{'step':26} {'time':>10} {'time/sum':>10}")
    for name in methods:
        ratios = [run[name] / run["sum"] for run in runs]
        low, ratio, high = statistics.quantiles(ratios)
        aim = AIMS.get(name)
        verdict = (
            "" if aim is None else f"<= {aim:g}: {'yes' if ratio <= aim else 'NO'}"
        )
        milliseconds = 1e3 * statistics.median(run[name] for run in runs)
        print(
            f"{name:26} {milliseconds:7.2f} ms {ratio:7.2f} ({low:.2f} to {high:.2f})"
            f"  {verdict}"
        )


if __name__ == "__main__":
    main()
