"""Shows plans, runs, fits and refusals in notebooks as the commands show them.

`import shapeflow` in a notebook registers this. Elsewhere it imports nothing of it.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shapeflow.base.diagnostics import Diagnostic, Refused
    from shapeflow.ir.plan import Plan
    from shapeflow.laws.fitting.fitted_laws import FittedLaws
    from shapeflow.running.runs import Run


def register(shell: Any) -> None:
    """Let a shell of IPython show the classes below. `shell`: what `IPython.get_ipython()` returns; None is left alone.

    Classes are registered by name, so that none of their modules is imported."""
    if shell is None:
        return
    formatter = shell.display_formatter.formatters["text/html"]
    for (module, name), shown in SHOWN.items():
        formatter.for_type_by_name(module, name, shown)
    from shapeflow.base.diagnostics import Refused

    shell.set_custom_exc((Refused,), _print_refusal)


def plan_html(plan: Plan) -> str:
    """What `shapeflow compile` prints."""
    from shapeflow.preview.plan import plan_view

    return _html(plan_view(plan))


def run_html(run: Run) -> str:
    """What `shapeflow show RUN` prints."""
    from shapeflow.preview.run import run_view

    return _html(run_view(run))


def fit_html(found: FittedLaws) -> str:
    """What `shapeflow fit` prints, without units, which the laws do not know."""
    from shapeflow.preview.fit import fit_view
    from shapeflow.preview.joint import joint_view

    return _html((fit_view if found.joint is None else joint_view)("", {}, found))


def diagnostic_html(diagnostic: Diagnostic) -> str:
    """A diagnostic as it is printed on stderr."""
    from shapeflow.preview.diagnostic import render

    return f"<pre>{html.escape(render(diagnostic))}</pre>"


def refused_html(refused: Refused) -> str:
    """All diagnostics of a refusal."""
    return "".join(map(diagnostic_html, refused.diagnostics))


SHOWN: dict[tuple[str, str], Callable[[Any], str]] = {
    ("shapeflow.ir.plan", "Plan"): plan_html,
    ("shapeflow.running.runs", "Run"): run_html,
    ("shapeflow.laws.fitting.fitted_laws", "FittedLaws"): fit_html,
    ("shapeflow.base.diagnostics", "Diagnostic"): diagnostic_html,
    ("shapeflow.base.diagnostics", "Refused"): refused_html,
}
"""Module and class -> its HTML."""


def _print_refusal(shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, **options: Any) -> None:
    """Print a refusal instead of a traceback, which would only show where in shapeflow it was found."""
    from shapeflow.base.diagnostics import Refused
    from shapeflow.base.printing import say
    from shapeflow.preview.diagnostic import render

    assert isinstance(error, Refused)
    for diagnostic in error.diagnostics:
        say(render(diagnostic) + "\n", err=True)


def _html(view: RenderableType) -> str:
    """A view as HTML with its own styles. All text is escaped."""
    from shapeflow.preview.screen import PLAIN_WIDTH, SafeConsole

    console = SafeConsole(file=io.StringIO(), width=PLAIN_WIDTH, record=True)
    console.print(view)
    code_format = '<pre style="line-height: 1.25; overflow-x: auto">{code}</pre>'
    return console.export_html(inline_styles=True, code_format=code_format)
