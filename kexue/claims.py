"""The ledger's checks: five ways to verify a labelled statement, each with controls
that it must reject.

A check compares two things and then, by the very same rule, plausible wrong versions of
them (its *controls*). It fails when the statement fails, and also when a control
passes, so that no check can hold by being weak. In a notebook it displays one line,
whose output metadata carries the record from which the book's ledger is made; elsewhere
it only passes or raises.

`controls` maps a short name to a pair `(left, right)`, which replaces both compared
arguments, or to one value, which replaces the second. It may not be empty.
"""

from __future__ import annotations

import html
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    import sympy as sp

__all__ = [
    "MIME_KEY",
    "ClaimRefuted",
    "Verdict",
    "bound",
    "equal",
    "estimate",
    "identity",
    "outcome",
]

MIME_KEY = "kexue-claim"
"""Key of a verdict's record in the metadata of a notebook output."""


class ClaimRefuted(AssertionError):
    """A statement failed its check, or one of its controls passed it."""


@dataclass(frozen=True)
class Verdict:
    """What a passed check leaves behind: the record of one claim.

    `figure` says what was found, `sample` on how many draws, points or seeds, and
    `controls` what was found for each rejected control.
    """

    label: str
    kind: str
    figure: str
    sample: str
    controls: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rejected = "; ".join(
            f"{name} ({found})" for name, found in self.controls.items()
        )
        return f"✓ {self.kind}: {self.figure}, {self.sample}. Rejected: {rejected}."

    def _repr_html_(self) -> str:
        rejected = "; ".join(
            f"<span title='{html.escape(found, quote=True)}'>{html.escape(name)}</span>"
            for name, found in self.controls.items()
        )
        found = html.escape(f"{self.figure}, {self.sample}")
        return (
            f"<p class='kexue-verdict'><span class='kexue-tick'>✓</span> "
            f"<b>{self.kind}</b> {found}. "
            f"<span class='kexue-rejected'>Rejected: {rejected}.</span></p>"
        )


@dataclass(frozen=True)
class _Finding:
    """One comparison: whether it holds, whether it fails clearly enough for a control,
    and in which figures."""

    holds: bool
    rejected: bool
    figure: str
    needed: str
    sample: str
    worst: str = ""


def _decide(
    label: str,
    kind: str,
    left: Any,
    right: Any,
    controls: Mapping[str, Any],
    compare: Callable[[Any, Any], _Finding],
) -> None:
    """Compare the two sides, then each control in their place; raise, or display the
    verdict."""
    if not label.startswith(("eq-", "stmt-", "exp-")):
        raise ValueError(
            f"a claim's label begins with eq-, stmt- or exp-, got {label!r}"
        )
    if not controls:
        raise ValueError(
            f"{label}: controls may not be empty: name at least one plausible wrong "
            "version that the check must reject"
        )
    found = compare(left, right)
    if not found.holds:
        worst = f"; worst: {found.worst}" if found.worst else ""
        raise ClaimRefuted(
            f"{label}: {kind} refuted: {found.figure}, "
            f"needed {found.needed} ({found.sample}){worst}"
        )
    rejected = {}
    for name, control in controls.items():
        is_pair = isinstance(control, tuple) and len(control) == 2
        wrong = compare(*(control if is_pair else (left, control)))
        if not wrong.rejected:
            raise ClaimRefuted(
                f"{label}: {kind} does not reject its control {name!r}: "
                f"{wrong.figure}, needed a clear violation of {wrong.needed}"
            )
        rejected[name] = wrong.figure
    _show(Verdict(label, kind, found.figure, found.sample, rejected))


def _show(verdict: Verdict) -> None:
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        data = {"text/plain": str(verdict), "text/html": verdict._repr_html_()}
        display(data, raw=True, metadata={MIME_KEY: asdict(verdict)})


def _number(value: float) -> str:
    return f"{value:.3g}"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _array(value: Any) -> np.ndarray:
    """A float64, complex128 or bool array on the CPU, of an array, tensor, number or
    (nested) sequence of them."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    array = np.asarray(value)
    if array.dtype == object:
        array = array.astype(
            complex
            if any(
                np.iscomplexobj(complex(entry)) and complex(entry).imag
                for entry in array.flat
            )
            else float
        )
    if array.dtype.kind not in "biufc":
        raise TypeError(f"expected numbers, got an array of {array.dtype}")
    if array.size == 0:
        raise ValueError("nothing to compare: an empty array makes a vacuous check")
    return array.astype(complex if array.dtype.kind == "c" else float)


def _at(array: np.ndarray, index: tuple[Any, ...]) -> str:
    where = f"[{', '.join(map(str, index))}]" if index else ""
    return (
        f"{array[index]:.17g}{where}"
        if array.dtype.kind != "c"
        else f"{array[index]:.12g}{where}"
    )


def identity(label: str, left: Any, right: Any, *, controls: Mapping[str, Any]) -> None:
    """Check that two SymPy expressions or matrices are the same.

    Passes when a simplifier brings `left - right` to exactly 0; numbers alone never
    suffice, though they may refute. A control is rejected when the two sides differ at
    a random rational point that respects the symbols' assumptions.

    Parameters
    ----------
    label
        The MyST label of the statement.
    left, right
        SymPy expressions, or matrices of one shape.
    controls
        Wrong versions: a value in place of `right`, or a pair in place of both.

    Raises
    ------
    ClaimRefuted
        The difference does not simplify to 0 (the message shows a point where the sides
        differ), or a control is not rejected.
    ValueError
        No controls, shapes that differ, or no rational point at which both sides are
        finite.
    """
    import sympy as sp

    def compare(one: Any, two: Any) -> _Finding:
        one, two = sp.sympify(one), sp.sympify(two)
        shapes = getattr(one, "shape", None), getattr(two, "shape", None)
        if shapes[0] != shapes[1]:
            raise ValueError(f"{label}: shapes differ: {shapes[0]} and {shapes[1]}")
        is_matrix = shapes[0] is not None
        entries = list(zip(one, two, strict=True)) if is_matrix else [(one, two)]
        if not entries:
            raise ValueError(
                f"{label}: nothing to compare: empty matrices make a vacuous check"
            )
        sample = f"exact in {_count(len(entries), 'entry', 'entries')}"
        # a point that separates the sides is cheaper to find than a simplification
        gap, point = _separate(label, entries)
        if not gap and all(_vanishes(a - b) for a, b in entries):
            return _Finding(True, False, "difference 0", "anything else", sample)
        unproved = "difference does not simplify to 0, though no point separates them"
        figure = f"sides differ by {_number(gap)}" if gap else unproved
        return _Finding(False, gap > 0, figure, "difference 0", sample, point)

    _decide(label, "identity", left, right, controls, compare)


def _vanishes(difference: sp.Expr) -> bool:
    """Whether some simplifier, cheapest first, brings the expression to exactly 0."""
    import sympy as sp

    simplifiers = (
        sp.expand,
        lambda e: sp.expand(e, complex=True),
        sp.cancel,
        sp.trigsimp,
        sp.simplify,
        lambda e: sp.simplify(e.rewrite(sp.exp)),
    )
    for simplify in simplifiers:
        try:
            if simplify(difference) == 0:
                return True
        except (
            sp.PolynomialError,
            NotImplementedError,
        ):  # a simplifier outside its domain says nothing
            continue
    return False


def _separate(
    label: str, entries: list[tuple[sp.Expr, sp.Expr]], points: int = 3
) -> tuple[float, str]:
    """The largest difference of the sides over random rational points, and the point; 0
    when they agree at each of them."""
    import sympy as sp
    from sympy.core.function import AppliedUndef

    draw = random.Random(0)
    whole = sp.Matrix([side for pair in entries for side in pair])
    # m(t) and its derivatives are free to take any value: stand-ins for them, outermost
    # derivatives first
    unknown = sorted(
        whole.atoms(sp.Derivative), key=sp.count_ops, reverse=True
    ) + sorted(whole.atoms(AppliedUndef), key=str)
    stand_in = {function: sp.Dummy(str(function), real=True) for function in unknown}
    pairs = [(a.xreplace(stand_in), b.xreplace(stand_in)) for a, b in entries]
    symbols = sorted(
        set().union(*(side.free_symbols for pair in pairs for side in pair)), key=str
    )
    finite, worst, where = 0, 0.0, ""
    for _ in range(20 * points):
        point = {symbol: _rational(symbol, draw) for symbol in symbols}
        for a, b in pairs:
            values = [complex(side.xreplace(point).evalf(30)) for side in (a, b)]
            if not np.isfinite(values).all():
                break
            gap = abs(complex((a - b).xreplace(point).evalf(30)))
            if gap > 1e-20 * max(1.0, *map(abs, values)) and gap > worst:
                worst, where = (
                    gap,
                    ", ".join(f"{symbol} = {value}" for symbol, value in point.items())
                    or "constants",
                )
        else:
            finite += 1
        if finite == points or not symbols:
            break
    if not finite:
        raise ValueError(
            f"{label}: no rational point found at which both sides are finite"
        )
    return worst, where


def _rational(symbol: sp.Symbol, draw: random.Random) -> sp.Rational:
    """A random rational number that the symbol's assumptions admit."""
    import sympy as sp

    if symbol.is_integer:
        size = sp.Integer(draw.randint(1, 6))
    else:
        size = sp.Rational(draw.randint(1, 30), draw.choice([7, 11, 13]))
    if symbol.is_negative or symbol.is_nonpositive:
        return -size
    return size if symbol.is_nonnegative else size * draw.choice([-1, 1])


def equal(
    label: str,
    left: Any,
    right: Any,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    controls: Mapping[str, Any],
) -> None:
    """Check that two arrays, tensors or numbers agree: elementwise `abs(left - right)
    <= atol + rtol * abs(right)`.

    A control is rejected when some element misses by at least ten times its tolerance,
    or is NaN.

    Parameters
    ----------
    label
        The MyST label of the statement.
    left, right
        Numbers, arrays, tensors or sequences of one shape, real or complex.
    rtol, atol
        Relative and absolute tolerance; both 0 ask for equality to the last bit.
    controls
        Wrong versions: a value in place of `right`, or a pair in place of both.

    Raises
    ------
    ClaimRefuted
        Some element differs by more than its tolerance or is NaN, or a control is not
        rejected.
    ValueError
        No controls, shapes that differ, or nothing to compare.
    """

    def compare(one: Any, two: Any) -> _Finding:
        one, two = _array(one), _array(two)
        if one.shape != two.shape:
            raise ValueError(f"{label}: shapes differ: {one.shape} and {two.shape}")
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = np.where(one == two, 0.0, np.abs(one - two))
            allowed = atol + rtol * np.abs(two)
            misses = np.where(gap == 0, 0.0, gap / allowed)
        misses[~np.isfinite(misses)] = np.inf
        worst = np.unravel_index(int(np.argmax(misses)), misses.shape)
        return _Finding(
            holds=bool(misses.max() <= 1),
            rejected=bool(misses.max() >= 10),
            figure=f"largest difference {_number(gap[worst])}",
            needed=f"at most {_number(allowed[worst])}",
            sample=_count(gap.size, "value"),
            worst=f"{_at(one, worst)} against {_at(two, worst)}",
        )

    _decide(label, "equal", left, right, controls, compare)


def bound(
    label: str,
    smaller: Any,
    larger: Any,
    *,
    rtol: float = 1e-12,
    controls: Mapping[str, Any],
) -> None:
    """Check that `smaller <= larger` on every draw, up to rounding; the record says how
    tight the bound is.

    Parameters
    ----------
    label
        The MyST label of the statement.
    smaller, larger
        Real arrays, tensors or numbers of one shape, or one array and one number.
    rtol
        What counts as rounding, relative to the larger of the two magnitudes.
    controls
        Wrong versions: a value in place of `larger`, or a pair in place of both. Each
        must be violated on some draw.

    Raises
    ------
    ClaimRefuted
        Some draw violates the bound or is NaN, or a control is never violated.
    ValueError
        No controls, shapes that differ, or nothing to compare.
    """

    def compare(one: Any, two: Any) -> _Finding:
        one, two = _array(one), _array(two)
        if np.iscomplexobj(one) or np.iscomplexobj(two):
            raise TypeError(f"{label}: complex numbers have no order")
        if one.shape != two.shape and one.ndim and two.ndim:
            raise ValueError(f"{label}: shapes differ: {one.shape} and {two.shape}")
        one, two = np.broadcast_arrays(one, two)
        slack = np.where(one == two, 0.0, two - one)
        violated = ~(slack >= -rtol * np.maximum(np.abs(one), np.abs(two)))
        worst = np.unravel_index(
            int(np.argmin(np.where(np.isnan(slack), -np.inf, slack))), slack.shape
        )
        if (two > 0).all():
            figure = f"tightest ratio {_number(float((one / two).max()))}"
        else:
            figure = f"smallest margin {_number(float(slack.min()))}"
        if violated.any():
            figure += f", violated in {int(violated.sum()):,}"
        return _Finding(
            holds=not violated.any(),
            rejected=bool(violated.any()),
            figure=figure,
            needed="smaller <= larger on every draw",
            sample=_count(one.size, "draw"),
            worst=f"{_at(one, worst)} against {_at(two, worst)}",
        )

    _decide(label, "bound", smaller, larger, controls, compare)


def estimate(
    label: str, samples: Any, expected: Any, *, controls: Mapping[str, Any]
) -> None:
    """Check that a Monte Carlo mean agrees with the exact value: abs(z) <= 4, the level
    shared among the components (Bonferroni).

    A control is rejected when some component has abs(z) >= 6.

    Parameters
    ----------
    label
        The MyST label of the statement.
    samples : (draws, ...)
        Real, independent draws on axis 0, at least 30. Components that do not vary must
        equal their expected value.
    expected
        The exact mean, of shape `samples.shape[1:]`, or one number.
    controls
        Wrong versions: a value in place of `expected`, or a pair `(samples, expected)`
        in place of both.

    Raises
    ------
    ClaimRefuted
        A component's mean is too far from its expected value, or a control is not
        rejected.
    ValueError
        No controls, fewer than 30 draws, shapes that differ, or samples none of whose
        components vary.
    """

    def compare(draws: Any, mean: Any) -> _Finding:
        draws, mean = _array(draws), _array(mean)
        if np.iscomplexobj(draws) or np.iscomplexobj(mean):
            raise TypeError(
                f"{label}: give the real and the imaginary parts as components"
            )
        if draws.ndim == 0 or len(draws) < 30:
            raise ValueError(
                f"{label}: expected at least 30 draws on axis 0, for the normal "
                f"approximation, got samples of shape {draws.shape}"
            )
        if mean.shape not in ((), draws.shape[1:]):
            raise ValueError(
                f"{label}: the expected value has shape {mean.shape}, "
                f"one draw has shape {draws.shape[1:]}"
            )
        deviation = draws.mean(axis=0) - mean
        error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
        if (error == 0).all():
            raise ValueError(
                f"{label}: the samples do not vary: compare them with `equal`"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(deviation == 0, 0.0, np.abs(deviation) / error)
        z = np.atleast_1d(np.where(np.isnan(z), np.inf, z))
        limit = -float(special.ndtri(special.ndtr(-4) / z.size))
        worst = np.unravel_index(int(np.argmax(z)), z.shape)
        components = f" in {z.size:,} components" if z.size > 1 else ""
        average, value = (
            np.atleast_1d(draws.mean(axis=0)),
            np.broadcast_to(mean, z.shape),
        )
        return _Finding(
            holds=bool(z.max() <= limit),
            rejected=bool(z.max() >= max(6.0, limit)),
            figure=f"largest |z| {_number(float(z.max()))}{components}"
            if components
            else f"|z| {_number(float(z.max()))}",
            needed=f"|z| <= {_number(limit)}",
            sample=_count(len(draws), "draw"),
            worst=f"mean {average[worst]:.6g} against {value[worst]:.6g}",
        )

    _decide(label, "estimate", samples, expected, controls, compare)


def outcome(
    label: str,
    better: Any,
    worse: Any,
    *,
    margin: float = 0.0,
    controls: Mapping[str, Any],
) -> None:
    """Check that over paired seeds one method beats another by more than a margin:
    exact one-sided sign-flip test, p <= 0.05.

    With five seeds the smallest p is 1/32, so all five must win.

    Parameters
    ----------
    label
        The MyST label of the statement.
    better, worse : (seeds,)
        The same score of both methods, greater being better, entry by entry for the
        same seed; 5 to 16 seeds.
    margin
        What `better - worse` must exceed.
    controls
        Comparisons that must not pass: a value in place of `worse`, or a pair in place
        of both.

    Raises
    ------
    ClaimRefuted
        The test does not reach p <= 0.05, or a control does.
    ValueError
        No controls, fewer than 5 or more than 16 seeds, or shapes that differ.
    """

    def compare(one: Any, two: Any) -> _Finding:
        one, two = _array(one), _array(two)
        if one.shape != two.shape or one.ndim != 1:
            raise ValueError(
                f"{label}: expected one score a seed for both methods, "
                f"got shapes {one.shape} and {two.shape}"
            )
        if not 5 <= one.size <= 16:
            raise ValueError(
                f"{label}: the exact test takes 5 to 16 seeds, got {one.size}"
            )
        gain = one - two
        # every way to flip signs, enumerated here: scipy.stats takes seconds to import
        flips = 1 - 2 * (np.arange(2**gain.size)[:, None] >> np.arange(gain.size) & 1)
        excess = gain - margin
        rounding = 1e-12 * np.abs(excess).max()
        p = float(np.mean(flips @ excess >= excess.sum() - rounding))
        p = p if np.isfinite(gain).all() else 1.0
        quantile = special.stdtrit(gain.size - 1, 0.975)
        half = float(quantile * gain.std(ddof=1) / np.sqrt(gain.size))
        return _Finding(
            holds=p <= 0.05,
            rejected=p > 0.05,
            figure=f"mean difference {_number(gain.mean())} ± {_number(half)}, "
            f"p = {_number(p)}",
            needed=f"more than {_number(margin)} at p <= 0.05",
            sample=_count(gain.size, "seed"),
            worst=f"smallest difference {_number(gain.min())}",
        )

    _decide(label, "outcome", better, worse, controls, compare)
