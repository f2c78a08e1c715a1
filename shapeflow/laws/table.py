"""`laws from table("laws.json")`: the laws that `shapeflow fit -o laws.json` wrote."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Label, Refused, Report, leaves_folder
from shapeflow.base.files import open_regular
from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import LawSourceHooks
from shapeflow.ir.law import Law
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.refit_sentence import sentence
from shapeflow.laws.fitting.warnings import doubts
from shapeflow.laws.laws_file import load

SHOWN = 8
OUTSIDE = "lies outside the folder of this file, and is not looked at"


@attrs.frozen
class Table(LawSourceHooks):
    """Reads laws that were fitted before. The `.shape` file then no longer needs the runs, and compiles to the same
    plan on every machine.

    The table is searched by the values of a shape on all axes, so it works for `.shape` files with the axes that it was
    fitted for. The table records a checksum of each log that the laws were fitted to. Logs in the folder of the
    `.shape` file or below are compared with their checksums, and a change gives a warning. The names of logs are
    relative to the folder of the table.
    """

    path: str = setting(first=True, help="the file, relative to the folder of this one", example='"laws.json"')

    runs_differ: float = setting(
        "ratio",
        default=0.04,
        low=0.0,
        high=1.0,
        help="how much two runs of a shape differ in compute at equal error, as far as the seeds do not show it",
    )
    useful: float = setting("ratio", default=0.02, low=0.0, high=1.0, help="the smallest saving that is worth a switch")

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """Return the law of each candidate. Empty after an error.

        Errors: path-outside, no-such-file, cannot-read, broken-laws, law-without-runs. Warnings: stale-laws,
        falling-rate, loose-law.
        """
        held = self._held(request, report)
        if held is None:
            return {}
        laws = {shape: held[shape] for shape in request.candidates if shape in held}
        if len(laws) < len(request.candidates):
            self._without(held, request, report)
            return {}
        self._stale(laws, request, report)
        doubts(laws, request, report)
        return laws

    def refit(self, request: LawRequest) -> str | None:
        """Return the sentence that fits these laws again. None if the table cannot be read or does not record it."""
        try:
            laws = load(Path(request.folder, self.path)).values()
        except Refused:
            return None
        found = (sentence(law.provenance.settings, request.sources) for law in laws if law.provenance.source == "fit")
        return next(found, None)

    def _held(self, request: LawRequest, report: Report) -> Mapping[Shape, Law] | None:
        """Return all laws of the table. None after an error."""
        at = request.spans.get("path", request.spans.get(""))
        if leaves_folder(self.path, request.folder, "the file of laws", at, report):
            return None
        whole = Path(request.folder, self.path)
        # `Path.is_file` raises if a name is too long or its folder is not accessible.
        if not os.path.isfile(whole):
            help_ = (
                f"write it first: `shapeflow fit FILE.shape -o {self.path}`, where FILE.shape contains "
                "`laws from fit(...)`"
            )
            report.error(
                "no-such-file", f"there is no file `{self.path}`", at, "not found next to the file", help=help_
            )
            return None
        try:
            return load(whole)
        except Refused as refused:
            for wrong in refused.diagnostics:
                report.error(wrong.code, wrong.message, at, "cannot be read", notes=wrong.notes, help=wrong.help)
            return None

    def _without(self, held: Mapping[Shape, Law], request: LawRequest, report: Report) -> None:
        """Report candidates without a law in the table (`law-without-runs`)."""
        missing = [shape for shape in request.candidates if shape not in held]
        names = [shape.written(request.units) for shape in missing]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        spans = [request.candidate_spans[shape] for shape in missing if shape in request.candidate_spans]
        others = [repr(shape) for shape in held if shape not in request.candidates]
        which = "it" if len(missing) == 1 else "them"
        report.error(
            "law-without-runs",
            f"`{self.path}` has no law for {', '.join(names[:3])}{more}",
            request.spans.get("path", request.spans.get("")),
            f"it has laws for {len(request.candidates) - len(missing)} of the {len(request.candidates)} candidates",
            also=[Label(span, "this candidate has none") for span in dict.fromkeys(spans)],
            notes=[f"shapes in it that are not candidates: {', '.join(others[:SHOWN])}"] if others else [],
            help=f"add runs of {which} and fit again, remove {which} from the axis, or state a law: "
            f"`law for {names[0]} is power(a: 4, b: 0.3, c: 0.2)`",
        )

    def _stale(self, laws: Mapping[Shape, Law], request: LawRequest, report: Report) -> None:
        """Warn about logs that changed after the laws were fitted (`stale-laws`)."""
        files = {name: digest for law in laws.values() for name, digest in law.provenance.files}
        found = dict(self._changed(files, request.folder))
        if not found:
            return
        changed = [f"`{name}` {why}" for name, why in found.items()]
        at = request.spans.get("path", request.spans.get(""))
        more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
        # Logs outside the folder may be unchanged, and the fit sentence cannot read them from here.
        unknown = set(found.values()) == {OUTSIDE}
        again, source = None if unknown else self.refit(request), at.source.name if at else "FILE.shape"
        one = len(changed) == 1
        which = f"{len(changed)} of {len(files)} files that the laws were fitted to"
        report.warning(
            "stale-laws",
            f"{which} cannot be checked for changes"
            if unknown
            else f"{which} {'has' if one else 'have'} changed or {'is' if one else 'are'} missing",
            at,
            "laws fitted earlier",
            notes=changed[:SHOWN] + more,
            help=None
            if again is None
            else f"fit again: `shapeflow fit {source} --set '{again}' -o {Path(request.folder, self.path).as_posix()}`",
        )

    def _changed(self, files: Mapping[str, str], folder: str) -> Iterator[tuple[str, str]]:
        """Yield the name of each log that changed or cannot be compared, with the reason."""
        root = os.path.realpath(folder or ".")
        for name, digest in files.items():
            path = os.path.realpath(Path(root, self.path).parent / name)
            if os.path.commonpath([root, path]) != root:
                yield name, OUTSIDE
            elif not os.path.isfile(path):
                yield name, "is missing"
            elif _digest(path) != digest:
                yield name, "has changed"


def _digest(path: str) -> str:
    """Return the SHA-256 of a file as hexadecimal text. Empty if the file cannot be read."""
    try:
        with open_regular(Path(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
