"""Drawing with matplotlib, an optional dependency."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_bytes
from shapeflow.base.safe import safe_lines
from shapeflow.preview.figure import COLORS, PLAN, Band, Dots, Figure, Layer

INK = "#1b1f23"
"""The colour of the plan on white."""
LETTERS = 120
"""Letters of a line of a key that is as wide as the picture, with space for the marks of its columns."""
LARGE, SMALL = 1e5, 1e-4
"""From the one up, and below the other, all ticks of an axis are written as powers of ten."""


def pyplot_for(path: Path) -> Any:
    """matplotlib's pyplot, without a display. Raises Refused if matplotlib is missing or does not support the file
    extension."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import figure, pyplot

        # A letter that the font lacks is drawn as a box, which needs no words on the screen.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
    except ImportError:
        message, help_ = "a picture needs matplotlib, which is not installed", "install it: `pip install matplotlib`"
        raise Refused(Diagnostic("no-matplotlib", message, place="--plot", help=help_)) from None
    if path.suffix.lstrip(".").lower() not in figure.Figure().canvas.get_supported_filetypes():
        message, help_ = f"`{path}` is not a supported picture format", "end the name in `.png`, `.svg` or `.pdf`"
        raise Refused(Diagnostic("unknown-picture", message, place="--plot", help=help_))
    return pyplot


def lettering(text: str) -> str:
    """A text of a file as it is drawn: without control characters, and with `$` as a letter, not as the start of a
    formula."""
    return safe_lines(text).replace("$", r"\$")


def labelled(text: str) -> str:
    """The same for a legend, in which matplotlib hides labels that begin with `_`."""
    return lettering(f" {text}" if text.startswith("_") else text)


def plain_numbers(axis: Any, *, percent: bool = False) -> None:
    """Label an axis with plain numbers: `0.1`, `30`, `0.5%`; if it has very large or very small ones, all as powers."""
    from matplotlib.ticker import FuncFormatter

    def written(value: float, _: int) -> str:
        return f"{100 * value:.4g}%" if percent else tick(value, axis.get_view_interval())

    axis.set_major_formatter(FuncFormatter(written))


def tick(value: float, interval: Sequence[float]) -> str:
    """The label of a tick, in the notation of its axis: `600`, or `6 x 10^5`. `interval`: the ends of the axis."""
    ends = [abs(each) for each in interval if each]
    if not value or not ends or (max(ends) < LARGE and min(ends) >= SMALL):
        return f"{value:.6g}"
    power = math.floor(math.log10(abs(value)) + 1e-9)
    digits = f"{value / 10.0**power:.3g}"
    return rf"$10^{{{power}}}$" if digits == "1" else rf"${digits} \times 10^{{{power}}}$"


def paint(axes: Any, figure: Figure, letters: float = LETTERS) -> None:
    """Draw a figure on the axes of matplotlib, without its key. `letters`: as many as are as wide as the axes."""
    for number, layer in enumerate(figure.layers):
        style = {"color": INK if layer.color == PLAN else COLORS[layer.color % len(COLORS)], "zorder": 2 + number / 100}
        _paint(axes, layer, style, labelled(layer.label) if layer in figure.key else None)
    for axis, which in ((figure.x, "x"), (figure.y, "y")):
        if axis.log:
            axes.set(**{f"{which}scale": "log"})
        places, names = zip(*(axis.apart(letters) if which == "x" else axis.ticks()), strict=True)
        axes.set(**{f"{which}lim": (axis.low, axis.high), f"{which}label": lettering(axis.label)})
        getattr(axes, f"set_{which}ticks")(places, names)
        getattr(axes, f"set_{which}ticks")([], minor=True)
    axes.grid(alpha=0.25)


def key_below(axes: Any, figure: Figure) -> None:
    """Write the key of a figure below its axes, which are the only ones of the picture."""
    longest = max((len(layer.label) for layer in figure.key), default=0)
    columns = max(1, LETTERS // (longest + 8))
    axes.figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=columns)


def _paint(axes: Any, layer: Layer, style: dict[str, Any], label: str | None) -> None:
    if isinstance(layer, Band):
        axes.fill_between(*zip(*layer.points, strict=True), alpha=0.22, lw=0, label=label, **style)
    elif isinstance(layer, Dots):
        look = {"mew": 0.6, "mfc": "white"} if layer.hollow else {"mew": 0.0}
        axes.plot(*zip(*layer.points, strict=True), "o", ms=1.4 * layer.radius, label=label, **look, **style)
    elif layer.finite:
        dashes = (0, layer.dashes) if layer.dashes else "-"
        axes.plot(*zip(*layer.finite, strict=True), lw=2.2 if layer.heavy else 1.4, ls=dashes, label=label, **style)


def save(figure: Any, path: Path) -> None:
    """Write a figure atomically. Raises Refused if the file cannot be written."""
    data = BytesIO()
    figure.savefig(data, format=path.suffix.lstrip(".").lower(), dpi=150)
    write_bytes(path, data.getvalue())
