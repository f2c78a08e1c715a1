"""Who may import whom, and what may stand nowhere: read off the sources, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("shapeflow/**/*.py"), *ROOT.glob("backends/**/*.py"), *ROOT.glob("grammar/**/*.py")])

# A unit is a file or a folder right below `shapeflow/` or a room of it; a backend is one unit.

ROOMS = {"base", "ir", "language", "stages", "running"}

WORDS = {"units", "diagnostics", "json_text", "shapes", "settings", "edits", "syntax", "law"}
"""What everything is said in."""
TYPES = {*WORDS, "parameters", "route"}

STAGES = {"parse", "resolve", "find_laws", "find_credits", "traverse", "lower", "assess"}
COMPONENTS = {"axes", "data", "laws", "metrics", "models", "objectives", "optimizers", "transitions", "traversals"}

MAY_IMPORT: dict[str, set[str]] = {
    # The words, from the ground up.
    "units": set(),
    "diagnostics": set(),
    "codes": set(),
    "decks": set(),
    "edits": set(),
    "law": set(),
    "law_json": {"law"},
    "json_text": set(),
    "shapes": set(),
    "settings": {"shapes", "units"},
    "syntax": {"diagnostics"},
    "files": {"diagnostics"},
    "sealed": {"json_text"},
    "skim": {"diagnostics"},
    "parameters": {"edits", "shapes", "units"},
    "route": {"diagnostics", "shapes", "units"},
    "ledger": {"edits", "parameters"},
    "events": {"shapes"},
    "plan": {"decks", "edits", "law", "parameters", "shapes"},
    "rates": {"parameters", "plan"},
    "plan_check": {"edits", "ledger", "plan", "shapes"},
    "saving_reasons": {"law", "plan", "shapes"},
    "replica": {"edits", "plan"},
    "verdicts": {"diagnostics", "parameters", "shapes"},
    "plan_json": {*WORDS, "sealed", "files", "law_json", "parameters", "plan", "plan_check"},
    "credits": {"diagnostics", "files", "sealed", "shapes"},
    "program": {*TYPES, "credits"},
    "previews": {*TYPES, "program"},
    # Components: words and types, never each other, never a stage. Laws alone are kept in files.
    "axes": TYPES,
    "data": TYPES,
    "laws": {*TYPES, "files", "law_json", "sealed"},
    "metrics": TYPES,
    "models": TYPES,
    "objectives": TYPES,
    "optimizers": TYPES,
    "transitions": TYPES,
    "traversals": TYPES,
    "registry": {"settings"},
    # Stages: what they take and what they give, never each other.
    "parse_errors": {"diagnostics", "skim"},
    "parse": {"diagnostics", "parse_errors", "skim", "syntax", "shapeflow_grammar"},
    "weights": {*WORDS, "ledger", "parameters"},
    "resolve": {*TYPES, "program", "registry", "weights"},
    "find_laws": {*TYPES, "laws", "program"},
    "find_credits": {*TYPES, "credits", "program"},
    "traverse": {*TYPES, "laws", "previews", "program"},
    "lower": {*TYPES, "laws", "ledger", "plan", "previews", "program"},
    "assess": {*TYPES, "laws", "plan", "saving_reasons", "previews", "program"},
    "compiler": {
        *TYPES,
        "assess",
        "files",
        "find_credits",
        "find_laws",
        "laws",
        "lower",
        "parse",
        "plan_check",
        "plan",
        "plan_json",
        "program",
        "resolve",
        "traverse",
    },
    # The loop.
    "execute": {"edits", "events", "plan"},
    # What stands on top.
    "doctor": {*WORDS, "laws"},
    "fmt": {"syntax"},
    "explain": {*WORDS, "codes", "parse_errors", "registry"},
    "backend": {"diagnostics"},
    "transfer": {"credits", "shapes"},
    "probe": {
        *TYPES,
        "backend",
        "compiler",
        "credits",
        "events",
        "laws",
        "plan",
        "pool",
        "previews",
        "program",
        "runs",
        "transfer",
    },
    "runs": {"diagnostics", "events", "files", "json_text", "plan", "plan_json"},
    "pool": {"backend", "diagnostics", "plan", "plan_json", "runs"},
    "sweep": {*WORDS, "compiler", "events", "files", "plan", "pool", "program", "runs"},
    "rivals": {*WORDS, "compiler", "events", "plan", "pool", "runs"},
    "tokenize": {*WORDS, "data", "files"},
    "preview": {
        *WORDS,
        "credits",
        "data",
        "doctor",
        "events",
        "explain",
        "files",
        "law_json",
        "laws",
        "plan",
        "saving_reasons",
        "pool",
        "probe",
        "rates",
        "rivals",
        "runs",
        "sweep",
        "tokenize",
        "verdicts",
    },
    "api": {"backend", "compiler", "diagnostics", "events", "execute", "plan", "runs", "verdicts"},
    "": {"api", "diagnostics", "plan", "shapes"},
    "__main__": {"cli"},
    # Backends: what a plan is made of, and the loop's protocol.
    "shapeflow_simulator": {*WORDS, "decks", "events", "execute", "ledger", "plan"},
    "shapeflow_torch": {
        *TYPES,
        "data",
        "decks",
        "events",
        "execute",
        "files",
        "ledger",
        "objectives",
        "plan",
        "plan_json",
        "rates",
        "replica",
        "verdicts",
        "weights",
    },
    "shapeflow_grammar": set(),
}
"""Unit -> the units that it may import. `cli` calls all of them and is imported by none."""

LAWS = {"laws.fitting", "laws.logs"}
"""What of `laws/` others hold: the logs and their readers, and what a fit finds; its other files are components."""
LOGS: set[str] = set()
HOLD_LAWS = {
    "assess",
    "doctor",
    "plan",
    "saving_reasons",
    "plan_json",
    "find_laws",
    "traverse",
    "lower",
    "compiler",
    "preview",
    "probe",
}
KNOW_REGISTRY = {"resolve", "explain"}
BACKENDS = {"shapeflow_torch", "shapeflow_simulator"}
TORCH = {"torch", "safetensors", "sklearn"}
"""Packages that only the torch backend may import."""
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "os.system"}


def module_of(path: Path) -> list[str]:
    """The dotted name of a file, in parts."""
    for root in ("backends", "grammar"):
        if (ROOT / root) in path.parents:
            path = path.relative_to(ROOT / root)
            break
    else:
        path = path.relative_to(ROOT)
    parts = list(path.with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def unit_of(module: list[str]) -> str:
    if module[0] != "shapeflow":
        return module[0]
    if len(module) > 2 and module[1] in ROOMS:
        return module[2]
    return module[1] if len(module) > 1 else ""


def imports(path: Path, *, at_top: bool = False) -> Iterator[str]:
    """The modules that a file imports, dotted; `at_top` leaves out those inside functions and for type checkers."""
    tree = ast.parse(path.read_text())
    if at_top:
        for node in ast.walk(tree):
            typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what they mean"
            module = node.module or ""
            here = module in (
                "shapeflow",
                "shapeflow.laws",
                "shapeflow.laws.logs.collect",
                "shapeflow.laws.fitting.from_points",
                *(f"shapeflow.{room}" for room in ROOMS),
            )
            yield from (f"{module}.{alias.name}" for alias in node.names) if here else (module,)


def ours(names: Iterator[str]) -> Iterator[list[str]]:
    return (name.split(".") for name in names if name.split(".")[0].startswith("shapeflow"))


PATHS = pytest.mark.parametrize("path", SOURCES, ids=lambda path: ".".join(module_of(path)))


def test_every_file_belongs_to_a_unit_of_the_table() -> None:
    units = {unit_of(module_of(path)) for path in SOURCES} - {"cli", *ROOMS}
    assert units == set(MAY_IMPORT)


@PATHS
def test_units_import_only_what_lies_below_them(path: Path) -> None:
    unit = unit_of(module_of(path))
    if unit == "cli" or unit in ROOMS:
        return
    wanted = {unit_of(module) for module in ours(imports(path))} - {unit}
    assert wanted - {""} <= MAY_IMPORT[unit], f"{path.relative_to(ROOT)} may not import this"


@PATHS
def test_laws_are_known_by_their_curve_alone(path: Path) -> None:
    unit = unit_of(module_of(path))
    held = {".".join(module[1:3]) for module in ours(imports(path)) if unit_of(module) == "laws"}
    if unit not in ("laws", "cli") and held:
        assert unit in HOLD_LAWS
        assert held <= (LAWS | LOGS if unit == "doctor" else LAWS)


@PATHS
def test_only_resolve_and_explain_know_the_registry(path: Path) -> None:
    unit = unit_of(module_of(path))
    if "registry" in {unit_of(module) for module in ours(imports(path))}:
        assert unit in KNOW_REGISTRY


def test_nobody_imports_the_command_line() -> None:
    for path in SOURCES:
        if unit_of(module_of(path)) not in ("cli", "__main__"):
            assert "cli" not in {unit_of(module) for module in ours(imports(path))}, path


def test_the_graph_has_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        unit = unit_of(module_of(path))
        graph.setdefault(unit, set()).update({unit_of(module) for module in ours(imports(path))} - {unit, ""})
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


@PATHS
def test_no_backend_is_imported_before_a_command_asks_for_it(path: Path) -> None:
    unit = unit_of(module_of(path))
    if unit in BACKENDS:
        return
    wanted = BACKENDS & {module[0] for module in ours(imports(path))}
    assert not wanted or unit == "cli"
    assert not BACKENDS & {module[0] for module in ours(imports(path, at_top=True))}


@PATHS
def test_torch_belongs_to_one_package(path: Path) -> None:
    wanted = TORCH & {name.split(".")[0] for name in imports(path)}
    assert not wanted or unit_of(module_of(path)) == "shapeflow_torch"


@PATHS
def test_nothing_runs_what_a_file_says(path: Path) -> None:
    assert not FORBIDDEN_MODULES & {name.split(".")[0] for name in imports(path)}
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not FORBIDDEN_CALLS & calls


@PATHS
def test_the_slow_packages_are_imported_by_whoever_needs_them_only_then(path: Path) -> None:
    """`shapeflow --help` must not wait: the command line itself imports nothing that is slow."""
    if unit_of(module_of(path)) == "cli":
        slow = {"numpy", "scipy", "lark", "rich", "cattrs", "torch"}
        assert not slow & {name.split(".")[0] for name in imports(path, at_top=True)}


def test_stages_and_components_stay_apart_in_the_table() -> None:
    """The table itself keeps the rules it stands for."""
    for unit in STAGES | COMPONENTS | BACKENDS:
        assert not MAY_IMPORT[unit] & {*STAGES, "compiler", "cli"}, unit
    for unit in COMPONENTS:
        assert not MAY_IMPORT[unit] & COMPONENTS, unit
    assert [unit for unit in MAY_IMPORT if MAY_IMPORT[unit] & STAGES] == ["compiler"]
    assert MAY_IMPORT["execute"] == {"edits", "events", "plan"}
