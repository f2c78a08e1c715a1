"""Drawing with matplotlib, an optional dependency."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_bytes
from shapeflow.base.safe import safe_lines


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
    """Label an axis with plain numbers: `0.1`, `30`, `0.5%`."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%" if percent else f"{value:.6g}"))


def save(figure: Any, path: Path) -> None:
    """Write a figure atomically. Raises Refused if the file cannot be written."""
    data = BytesIO()
    figure.savefig(data, format=path.suffix.lstrip(".").lower(), dpi=150)
    write_bytes(path, data.getvalue())
