"""Each kind of check passes what is true, refutes what is false, is never vacuous."""

import json

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from kexue import claims
from kexue.randomness import rng

x, y = sp.symbols("x y", real=True)
NORMAL = rng(0).normal(size=(4000, 3))
WINS = [0.5, 0.7, 0.6, 0.9, 0.8]
LOSSES = [0.1, 0.2, 0.3, 0.2, 0.1]

TRUE = {
    "identity": (claims.identity, (sp.sin(x) ** 2, 1 - sp.cos(x) ** 2), {}),
    "equal": (claims.equal, ([1.0, 2.0], [1.0, 2.0 + 1e-9]), {"rtol": 1e-8}),
    "bound": (claims.bound, ([1.0, 2.0], [1.0, 3.0]), {}),
    "estimate": (claims.estimate, (NORMAL**2, 1.0), {}),
    "outcome": (claims.outcome, (WINS, LOSSES), {"margin": 0.1}),
}
WRONG = {
    "identity": 1 - sp.cos(x),
    "equal": [1.0, 2.1],
    "bound": [1.0, 1.9],
    "estimate": 1.3,
    "outcome": [0.6, 0.8, 0.7, 1.0, 0.9],
}
# close to the truth: not refuted clearly enough to count as a control
SLIPPING = {
    "identity": sp.expand_trig(sp.cos(2 * x) - 1) / -2,
    "equal": [1.0, 2.0 + 3e-8],
    "bound": [1.0, 2.5],
    "estimate": 1.0,
    "outcome": [0.2, 0.2, 0.2, 0.2, 0.1],
}
KINDS = list(TRUE)


def run(kind, **changes):
    check, (left, right), options = TRUE[kind]
    arguments = {"left": left, "right": right, "controls": {"wrong": WRONG[kind]}}
    arguments |= changes
    left, right = arguments.pop("left"), arguments.pop("right")
    return check(f"eq-{kind}", left, right, **options, **arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_true_passes_and_returns_nothing(kind):
    assert run(kind) is None


@pytest.mark.parametrize("kind", KINDS)
def test_false_is_refuted_with_its_figures(kind):
    with pytest.raises(
        claims.ClaimRefuted, match=f"eq-{kind}: {kind} refuted: .*needed"
    ):
        run(kind, right=WRONG[kind], controls={"wrong": WRONG[kind]})


@pytest.mark.parametrize("kind", KINDS)
def test_slipping_control_is_refused(kind):
    with pytest.raises(claims.ClaimRefuted, match="does not reject its control 'near'"):
        run(kind, controls={"near": SLIPPING[kind]})


@pytest.mark.parametrize("kind", KINDS)
def test_empty_controls_are_refused(kind):
    with pytest.raises(ValueError, match="controls may not be empty"):
        run(kind, controls={})


@pytest.mark.parametrize("kind", KINDS)
def test_control_as_pair_replaces_both(kind):
    left = TRUE[kind][1][0]
    run(kind, controls={"both": (left, WRONG[kind])})


@pytest.mark.parametrize("kind", ["equal", "bound", "estimate"])
def test_zero_draws_are_refused(kind):
    with pytest.raises(ValueError, match="vacuous"):
        run(kind, left=[], right=[])


@pytest.mark.parametrize("kind", ["equal", "bound", "estimate", "outcome"])
def test_nan_refutes(kind):
    left = np.array(TRUE[kind][1][0], dtype=float)
    left[0] = np.nan
    with pytest.raises(claims.ClaimRefuted):
        run(kind, left=left)


@pytest.mark.parametrize("kind", ["equal", "bound", "estimate", "outcome"])
def test_shapes_must_match(kind):
    with pytest.raises(ValueError, match="shape"):
        run(kind, right=np.ones((7, 2)))


def test_label_must_be_a_claims():
    with pytest.raises(ValueError, match="begins with eq-, stmt- or exp-"):
        claims.equal("def-x", 1, 1, controls={"two": 2})


def test_identity_names_a_counterexample():
    with pytest.raises(claims.ClaimRefuted, match=r"worst: x = -?\d+"):
        claims.identity("eq-x", (x + 1) ** 2, x**2 + 1, controls={"zero": 0})


def test_identity_never_falls_back_on_numbers():
    """Equal at every point tried, but no simplifier proves it: refuted all the same."""
    beyond = sp.Piecewise((1, x > 10**6), (0, True))
    with pytest.raises(claims.ClaimRefuted, match="does not simplify to 0"):
        claims.identity("eq-x", x + beyond, x, controls={"one": x + 1})


def test_identity_outside_its_domain_is_refused():
    with pytest.raises(ValueError, match="no rational point"):
        claims.identity("eq-x", x, x, controls={"nowhere": x + sp.zoo})


def test_identity_respects_assumptions():
    p = sp.Symbol("p", positive=True)
    claims.identity("eq-x", sp.sqrt(p**2), p, controls={"sign": -p})


def test_identity_of_matrices_and_functions():
    M = sp.Matrix(2, 2, sp.symbols("a:d"))
    wrong = {"transposed": M.T * M.det()}
    claims.identity("eq-x", M * M.adjugate() * M, M * M.det(), controls=wrong)
    f = sp.Function("f")(x)
    claims.identity("eq-x", sp.diff(f**2, x), 2 * f * f.diff(x), controls={"2": f})
    with pytest.raises(ValueError, match="shapes differ"):
        claims.identity("eq-x", M, M.det(), controls={"zero": 0})


def test_equal_takes_tensors_of_any_dtype():
    for dtype in (
        torch.bfloat16,
        torch.float32,
        torch.complex64,
        torch.int64,
        torch.bool,
    ):
        ones = torch.ones(3, dtype=dtype)
        claims.equal("eq-x", ones, np.ones(3), controls={"zeros": np.zeros(3)})
    tracked = torch.ones(2, requires_grad=True)
    claims.equal("eq-x", tracked, tracked, controls={"less": tracked - 1})


def test_equal_control_needs_ten_tolerances():
    claims.equal("eq-x", 1.0, 1.0, atol=0.1, controls={"ten": 2.01})
    with pytest.raises(claims.ClaimRefuted, match="does not reject"):
        claims.equal("eq-x", 1.0, 1.0, atol=0.1, controls={"nine": 1.9})


def test_equal_infinities():
    claims.equal("eq-x", np.inf, np.inf, controls={"minus": -np.inf})
    with pytest.raises(claims.ClaimRefuted):
        claims.equal("eq-x", 1.0, np.inf, rtol=0.5, controls={"minus": -np.inf})


def test_bound_allows_rounding_only():
    claims.bound("eq-x", 1 + 1e-13, 1.0, controls={"half": 0.5})
    with pytest.raises(claims.ClaimRefuted):
        claims.bound("eq-x", 1 + 1e-11, 1.0, controls={"half": 0.5})


def test_complex_numbers_have_no_order():
    with pytest.raises(TypeError, match="no order"):
        claims.bound("eq-x", 1j, 1.0, controls={"half": 0.5})


def test_estimate_needs_draws_that_vary():
    with pytest.raises(ValueError, match="at least 30 draws"):
        claims.estimate("eq-x", NORMAL[:29], 0.0, controls={"one": 1.0})
    with pytest.raises(ValueError, match="do not vary"):
        claims.estimate("eq-x", np.ones(100), 1.0, controls={"two": 2.0})


def test_estimate_shares_its_level():
    """With 10,000 true components some |z| exceeds 4; that is no refutation."""
    draws = rng(1).normal(size=(200, 10_000))
    claims.estimate("eq-x", draws, 0.0, controls={"half": 0.5})


def test_outcome_needs_every_one_of_five_seeds():
    mixed = [0.5, 0.7, 0.6, 0.9, 0.05]
    with pytest.raises(claims.ClaimRefuted):
        claims.outcome("exp-x", mixed, LOSSES, controls={"wins": WRONG["outcome"]})
    with pytest.raises(ValueError, match="5 to 16 seeds"):
        claims.outcome("exp-x", WINS[:4], LOSSES[:4], controls={"same": WINS[:4]})


@given(st.floats(1e-3, 1e3), st.floats(1.2, 10))
def test_equal_scales(scale, factor):
    """The verdict does not depend on units."""
    claims.equal("eq-x", scale, scale, rtol=0.01, controls={"factor": factor * scale})


def records(code):
    """The metadata that a notebook's outputs would carry after running `code`."""
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.run_cell(code, silent=True).raise_error()
    InteractiveShell.clear_instance()
    return captured.outputs


def test_two_checks_in_one_cell_give_two_complete_records():
    outputs = records(
        "from kexue import claims\n"
        "claims.equal('eq-a', 1, 1, controls={'two': 2})\n"
        "claims.bound('eq-b', [1], [2], controls={'<zero>': 0})\n"
    )
    kept = [output.metadata[claims.MIME_KEY] for output in outputs]
    assert [record["label"] for record in kept] == ["eq-a", "eq-b"]
    for record in kept:
        assert all(record[key] for key in ("kind", "figure", "sample", "controls"))
        assert json.loads(json.dumps(record)) == record
    html = outputs[1].data["text/html"]
    assert "&lt;zero&gt;" in html
    assert "✓" in outputs[0].data["text/plain"]
    assert "two" in outputs[0].data["text/plain"]
