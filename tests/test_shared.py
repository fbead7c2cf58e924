"""Randomness, data sets and plotting: what every article stands on."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from kexue import datasets, plotting, randomness
from kexue.losses.reduction import reduce_loss
from kexue.training import minimize


def test_seed_moves_with_the_environment(monkeypatch):
    monkeypatch.delenv("KEXUE_SEED", raising=False)
    here = randomness.rng(1001).normal()
    there = torch.rand(1, generator=randomness.generator(1001))
    monkeypatch.setenv("KEXUE_SEED", "1000")
    assert randomness.seed(1) == 1001
    assert randomness.rng(1).normal() == here
    assert torch.equal(torch.rand(1, generator=randomness.generator(1)), there)


@pytest.mark.parametrize("value", ["one", "1.5", ""])
def test_seed_must_be_a_whole_number(monkeypatch, value):
    monkeypatch.setenv("KEXUE_SEED", value)
    with pytest.raises(ValueError, match="KEXUE_SEED must be a whole number"):
        randomness.seed()


def test_seed_is_not_negative(monkeypatch):
    monkeypatch.setenv("KEXUE_SEED", "-5")
    with pytest.raises(ValueError, match="not negative"):
        randomness.seed(1)


def test_seeded_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    with randomness.seeded(3):
        first = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), before)
    with randomness.seeded(3):
        assert torch.equal(torch.rand(2), first)


def test_split_parts_are_disjoint_and_whole():
    x = np.arange(20).reshape(10, 2)
    parts = datasets.split(x, np.arange(10), randomness.rng(0), test_share=0.3)
    assert [len(part) for part in parts] == [7, 7, 3, 3]
    assert sorted([*parts.y_train, *parts.y_test]) == list(range(10))
    assert np.array_equal(parts.x_test[:, 0], 2 * parts.y_test)


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])
def test_split_refuses_empty_parts(share):
    with pytest.raises(ValueError, match="leaves a part empty"):
        datasets.split(np.ones((10, 1)), np.ones(10), randomness.rng(0), share)


def test_split_refuses_different_lengths():
    with pytest.raises(ValueError, match="differ in length: 10 and 9"):
        datasets.split(np.ones((10, 1)), np.ones(9), randomness.rng(0))


@pytest.fixture
def axes():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_code_spans_mark_the_quoted_words():
    spans = datasets.code_spans(16)
    count = len(spans.words)
    assert spans.marks.shape == (count, 2, 16)
    assert spans.marks.dtype == bool
    assert spans.topic.shape == (count,)
    assert {len(window) for window in spans.words} == {16}
    assert not any('"' in word[1:] for window in spans.words for word in window)
    starts, ends = spans.marks.sum((0, 2))
    assert starts > 2000
    # only spans across a window's edge lack one of the two
    assert abs(int(starts) - int(ends)) < 0.05 * starts
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        datasets.code_spans(0)


def test_slider_shows_its_start_and_hides_the_rest(axes):
    frames = {str(k): axes.plot([0, k]) for k in range(4)}
    html = plotting.Slider(axes.figure, "k < 4", frames, start=2)._repr_html_()
    assert "k &lt; 4" in html
    assert sorted(set(re.findall(r"data-frame='(\d)'", html))) == list("0123")
    assert re.findall(r"data-frame='(\d)'>", html) == ["2"]
    assert "<output>2</output>" in html
    assert not plt.fignum_exists(axes.figure.number)


def test_sliders_of_a_page_do_not_mix(axes):
    def html():
        figure, ax = plt.subplots()
        frames = {"a": ax.plot([0, 1]), "b": ax.plot([1, 0])}
        return plotting.Slider(figure, "x", frames)._repr_html_()

    ids = [set(re.findall(r'id="(kexue[^"]*)"', html())) for _ in range(2)]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("start", [-1, 2])
def test_slider_refuses_a_start_beyond_its_frames(axes, start):
    frames = {"a": axes.plot([0, 1]), "b": axes.plot([1, 0])}
    with pytest.raises(ValueError, match="2 frames and start"):
        plotting.Slider(axes.figure, "x", frames, start)


def test_seed_band_refuses_other_shapes(axes):
    with pytest.raises(ValueError, match=r"\(seeds, 3\), got \(3,\)"):
        plotting.seed_band(axes, [0, 1, 2], [1, 2, 3], "x", plotting.COLORS[0])
    plotting.seed_band(axes, [0, 1, 2], np.eye(3), "x", plotting.COLORS[0])
    assert axes.texts[0].get_text() == "x"


def test_minimize_takes_the_steps_of_adam():
    target = torch.randn(3, 4, generator=randomness.generator(0), dtype=torch.float64)

    def loss(x):
        return ((x - target) ** 4).sum()

    start = torch.zeros_like(target)
    peer = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([peer], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for _ in range(40):
        optimizer.zero_grad()
        loss(peer).backward()
        optimizer.step()
        schedule.step()
    (found,) = minimize(loss, [start], steps=40, lr=0.05, decay=True)
    torch.testing.assert_close(found, peer.detach(), rtol=1e-9, atol=1e-12)
    assert not start.any()
    with pytest.raises(ValueError, match="steps must be at least 1"):
        minimize(loss, [start], steps=0, lr=0.05)


def test_masked_losses_do_not_count():
    losses, mask = (
        torch.tensor([1.0, torch.nan, 3.0]),
        torch.tensor([True, False, True]),
    )
    assert reduce_loss(losses, "mean", mask) == 2
    assert reduce_loss(losses, "sum", mask) == 4
    assert reduce_loss(losses, "none", mask).tolist() == [1, 0, 3]
    with pytest.raises(TypeError, match="boolean"):
        reduce_loss(losses, "mean", mask.int())
    with pytest.raises(ValueError, match="keep something"):
        reduce_loss(losses, "mean", torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="shape"):
        reduce_loss(losses, "mean", mask[:2])
