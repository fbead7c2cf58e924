"""Integrated gradients against captum, on a CNN of digits.

Run as `python benchmarks/integrated_gradients.py`. Both compute logits' attributions of
the same images in one process, in turn and in balanced order. For each pair of settings
it prints how many gradients a sample takes, what completeness then misses (median,
relative) and the median over rounds of the ratio of times, captum's over ours: above 1
we are faster. The pairs are chosen by equal error, found
beforehand, and once by equal n.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kexue import datasets, randomness, training
from kexue.vision import integrated_gradients as ig

SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 160, 240, 320)
ROUNDS = 15
PEER_RULES = {
    "article's right sum": "riemann_right",
    "captum's default": "gausslegendre",
}


def trained(
    activation: type[nn.Module], pool: type[nn.Module]
) -> tuple[nn.Module, Tensor]:
    images, labels = datasets.digits()
    data = datasets.split(images[:, None].astype("f4"), labels, randomness.rng(0))
    x, y, x_test, _ = map(torch.as_tensor, data)
    with randomness.seeded(0):
        net = ig.digits_cnn(activation, pool)
    training.fit(
        lambda x, y: cross_entropy(net(x), y),
        torch.optim.Adam(net.parameters(), 2e-3),
        (x, y),
        epochs=6,
        generator=randomness.generator(0),
    )
    return net.eval(), x_test[:100]


class Contest:
    """Both implementations on one net."""

    def __init__(self, net: nn.Module, x: Tensor) -> None:
        self.x, self.target = x, net(x).argmax(1)
        self.score = ig.target_score(net, self.target)
        self.peer = IntegratedGradients(net)
        with torch.no_grad():
            self.change = self.score(x) - self.score(0 * x)

    def ours(self, n: int, rule: ig.Rule = "gauss") -> Tensor:
        return ig.integrated_gradients(self.score, self.x, steps=n, rule=rule)

    def theirs(self, n: int, method: str) -> Tensor:
        return self.peer.attribute(self.x, target=self.target, n_steps=n, method=method)

    def missed(self, maps: Tensor) -> float:
        gap = maps.flatten(1).sum(1) / self.change - 1
        return gap.abs().median().item()

    def ratio(self, ours: tuple, theirs: tuple) -> float:
        """Median of captum's time over ours, measured in turn."""
        calls = (lambda: self.ours(*ours), lambda: self.theirs(*theirs))
        for call in calls:
            call()
        ratios = []
        for turn in range(ROUNDS):
            spent = [0.0, 0.0]
            for which in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()
                calls[which]()
                spent[which] = time.perf_counter() - start
            ratios.append(spent[1] / spent[0])
        return float(np.median(ratios))


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'net':5} {'tolerance':>9}  {'captum':20} {'n':>4} {'error':>8}", end="")
    print(f"  {'ours':8} {'n':>4} {'error':>8}  {'time ratio':>10}")
    for name, activation, pool, rule, tolerances in (
        ("ReLU", nn.ReLU, nn.MaxPool2d, "midpoint", (1e-2,)),
        ("GELU", nn.GELU, nn.AvgPool2d, "gauss", (1e-2, 1e-3)),
    ):
        contest = Contest(*trained(activation, pool))
        for tolerance in tolerances:
            n, error = next(
                (n, miss)
                for n in SIZES
                if (miss := contest.missed(contest.ours(n, rule))) <= tolerance
            )
            for title, method in PEER_RULES.items():
                m, miss = next(
                    (m, miss)
                    for m in SIZES
                    if (miss := contest.missed(contest.theirs(m, method))) <= tolerance
                )
                ratio = contest.ratio((n, rule), (m, method))
                print(f"{name:5} {tolerance:9g}  {title:20} {m:4} {miss:8.1e}", end="")
                print(f"  {rule:8} {n:4} {error:8.1e}  {ratio:10.2f}")
        for n in (16, 50):
            ratio = contest.ratio((n, "gauss"), (n, "gausslegendre"))
            errors = [
                contest.missed(maps)
                for maps in (contest.theirs(n, "gausslegendre"), contest.ours(n))
            ]
            print(f"{name:5} {'equal n':>9}  {'gausslegendre':20} {n:4}", end="")
            print(
                f" {errors[0]:8.1e}  {'gauss':8} {n:4} {errors[1]:8.1e}  {ratio:10.2f}"
            )


if __name__ == "__main__":
    main()
