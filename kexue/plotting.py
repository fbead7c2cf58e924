"""The house style of the book's figures, and a figure with a slider.

Figures are vector graphics on a transparent ground in colours that survive both themes
(the dark one turns lightness around and keeps the hues) and colour blindness.
"""

from __future__ import annotations

import html
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLORS", "Slider", "seed_band", "use_style"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""The palette of Okabe and Ito, without black and yellow: blue, vermilion, green,
purple, sky, orange."""

_SERIAL = itertools.count()


def use_style() -> None:
    """Set the house style for every figure of a page; call it in the first cell.

    Raises
    ------
    ImportError
        Matplotlib is missing: `pip install kexue[book]` brings it.
    """
    try:
        import matplotlib as mpl
        from cycler import cycler
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError as error:
        raise ImportError(
            "figures need the extra `book`: pip install 'kexue[book]'"
        ) from error
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.bbox": "tight",
            "axes.prop_cycle": cycler(color=COLORS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "axes.titlesize": "medium",
            "font.size": 10,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            # the same figure gives the same file, byte for byte
            "svg.hashsalt": "kexue",
        }
    )
    set_matplotlib_formats("svg", metadata={"Date": None})


def seed_band(
    ax: Axes, x: Sequence[float] | np.ndarray, runs: Any, label: str, color: str
) -> None:
    """Draw the mean of several runs and the band from the least to the greatest.

    Parameters
    ----------
    ax
        Where to draw.
    x : (points,)
        The common abscissae.
    runs : (seeds, points)
        One curve a seed.
    label
        Stands at the right end of the curve, in its colour, instead of a legend.
    color
        One of `COLORS`.

    Raises
    ------
    ValueError
        `runs` is not of shape (seeds, points).
    """
    abscissae, curves = np.asarray(x, dtype=float), np.asarray(runs, dtype=float)
    if curves.ndim != 2 or curves.shape[1:] != abscissae.shape:
        raise ValueError(
            f"runs must have shape (seeds, {len(abscissae)}), got {curves.shape}"
        )
    mean = curves.mean(axis=0)
    ax.fill_between(
        abscissae, curves.min(0), curves.max(0), color=color, alpha=0.2, lw=0
    )
    ax.plot(abscissae, mean, color=color)
    ax.annotate(
        label,
        (abscissae[-1], mean[-1]),
        xytext=(4, 0),
        textcoords="offset points",
        color=color,
        va="center",
        annotation_clip=False,
    )


class Slider:
    """A figure in which a slider chooses what is shown: one drawing, no libraries.

    All frames are drawn into one figure, so that axes and labels are stored once; the
    slider hides all artists but those of one frame. Without scripts and in print the
    starting frame is seen. It is the value of its cell: put it on the last line.

    Parameters
    ----------
    figure
        The figure that holds the artists of every frame. It is closed.
    label
        Stands before the slider, with the unit if there is one.
    frames
        Maps each position's text to the artists that are seen there only.
    start
        Index of the frame that is seen first.

    Raises
    ------
    ValueError
        Fewer than two frames, or `start` is none of them.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> slider = Slider(figure, "slope", {str(a): ax.plot([0, a]) for a in range(3)})
    """

    def __init__(
        self,
        figure: Figure,
        label: str,
        frames: Mapping[str, Sequence[Artist]],
        start: int = 0,
    ) -> None:
        if len(frames) < 2 or not 0 <= start < len(frames):
            raise ValueError(
                f"expected at least 2 frames and start among them, "
                f"got {len(frames)} frames and start = {start}"
            )
        import matplotlib.pyplot as plt

        name = f"kexue-slider-{next(_SERIAL)}"
        for number, artists in enumerate(frames.values()):
            for artist in artists:
                artist.set_gid(f"{name}-frame-{number}")
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", metadata={"Date": None})
        plt.close(figure)
        svg = drawing.getvalue()
        svg = svg[svg.index("<svg") :]
        for number in range(len(frames)):
            hidden = "" if number == start else " style='display:none'"
            svg = svg.replace(
                f'<g id="{name}-frame-{number}">', f"<g data-frame='{number}'{hidden}>"
            )
        self._svg, self._label, self._start = svg, label, start
        self._positions = list(frames)

    def __repr__(self) -> str:
        return f"Slider({self._label}: {', '.join(self._positions)})"

    def _repr_html_(self) -> str:
        positions = html.escape(json.dumps(self._positions), quote=True)
        show = (
            f"var box=this.closest('.kexue-slider'),text={positions}[this.value];"
            "box.querySelectorAll('[data-frame]').forEach(g=>g.style.display="
            "g.dataset.frame==this.value?'':'none');"
            "box.querySelector('output').value=text;"
            "this.setAttribute('aria-valuetext',text)"
        )
        here = html.escape(self._positions[self._start], quote=True)
        return (
            f"<div class='kexue-slider'><div role='img'>{self._svg}</div>"
            f"<label>{html.escape(self._label)} "
            f"<input type='range' min='0' max='{len(self._positions) - 1}' "
            f"value='{self._start}' aria-valuetext='{here}' oninput=\"{show}\">"
            f" <output>{here}</output></label></div>"
        )
