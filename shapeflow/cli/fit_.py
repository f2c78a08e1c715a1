"""`shapeflow fit`"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.files import real
from shapeflow.base.printing import say
from shapeflow.cli.common import NewFile, of_a_file, print_diagnostics, print_json
from shapeflow.cli.outputs import LAWS, PICTURE
from shapeflow.cli.refused import refused_laws

if TYPE_CHECKING:
    from shapeflow.base.shapes import Shape
    from shapeflow.ir.law import Law
    from shapeflow.ir.mixture import MixtureLaw
    from shapeflow.ir.program import Program
    from shapeflow.laws.fitting.fitted_laws import FittedLaws


@click.command("fit")
@of_a_file
@click.option(
    "-o",
    "--output",
    type=NewFile(LAWS),
    help='Write the laws to this file: `laws from table("laws.json")` reads them.',
)
@click.option("--plot", type=NewFile(PICTURE), help="Plot the laws and their residuals to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def command(file: Path, sentences: list[str], output: Path | None, plot: Path | None, as_json: bool) -> None:
    """Fit the laws of a .shape file, and show how reliable they are.

    Each law comes with intervals and a test on held-out points. The exit code is 1 if the learning rate falls along the
    runs of a law; the laws are shown and written all the same.
    """
    from shapeflow.compiler import fit_file

    report = Report()
    program, found = fit_file(file, sentences, report)
    # The reasons against laws are printed at the end, after the figures.
    print_diagnostics(each for each in report.diagnostics if each.code != "falling-rate")
    if found.mixture is not None:
        _show_mixture(program, found.mixture, [output, plot], as_json)
        return
    for path in (output, plot):
        _require_other_than(program, found, path)
    if output is not None:
        from shapeflow.laws.laws_file import save

        save(output, _beside(found, program, output))
    if plot is not None:
        from shapeflow.preview.fit_plot import draw_fit

        draw_fit(program.name, program.units, found, plot)
    _show(program, found, as_json)
    if not as_json:
        for done, path in (("laws written to", output), ("plot written to", plot)):
            if path is not None:
                say(f"  {done} {path}")
    if (refused := refused_laws(program, found.laws)) is not None:
        raise Refused(refused)


def _require_other_than(program: Program, found: FittedLaws, path: Path | None) -> None:
    """Raise BadParameter for an output that the laws are fitted to: the measurements would be lost."""
    read = {name for law in found.laws.values() for name, _ in law.provenance.files}
    if path is not None and any(real(Path(program.folder) / name) == real(path) for name in read):
        raise click.BadParameter(f"`{path}` is a file that is read: name another one")


def _show(program: Program, found: FittedLaws, as_json: bool) -> None:
    if as_json:
        from shapeflow.preview.fit_json import fit_to_json

        print_json(fit_to_json(program.name, found))
        return
    from shapeflow.preview.fit import fit_view
    from shapeflow.preview.joint import joint_view
    from shapeflow.preview.screen import show

    view = fit_view if found.joint is None else joint_view
    show(view(program.name, program.units, found))


def _show_mixture(program: Program, found: MixtureLaw, outputs: Sequence[Path | None], as_json: bool) -> None:
    if any(path is not None for path in outputs):
        message = "a law of mixtures is not written or drawn: keep the table of its pilots, `shapeflow pilot --csv`"
        raise click.UsageError(message)
    if as_json:
        from shapeflow.preview.mixture import mixture_json

        print_json(mixture_json(found))
        return
    from shapeflow.preview.mixture import mixture_view
    from shapeflow.preview.screen import show

    show(mixture_view(program.name, program.units, program.metric.key, found))


def _beside(found: FittedLaws, program: Program, output: Path) -> dict[Shape, Law]:
    """The laws, with file names relative to the folder of `output`, so that a table of laws can be moved together with
    its files."""
    laws = {}
    for shape, law in found.laws.items():
        files = tuple(
            (Path(os.path.relpath(Path(program.folder) / name, output.parent)).as_posix(), digest)
            for name, digest in law.provenance.files
        )
        laws[shape] = attrs.evolve(law, provenance=attrs.evolve(law.provenance, files=files))
    return laws
