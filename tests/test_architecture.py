"""Which modules may import which, and which calls and packages are forbidden. Parses the sources, imports nothing."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("shapeflow/**/*.py"), *ROOT.glob("backends/**/*.py"), *ROOT.glob("grammar/**/*.py")])

BASE = {"base", "ir"}
COMPONENTS = {
    "axes",
    "costs",
    "data",
    "metrics",
    "models",
    "objectives",
    "optimizers",
    "schedules",
    "transitions",
    "traversals",
}
FIT = {"laws.fitting", "laws.logs", "laws.mixing"}
LAWS = {*FIT, "laws.exponents", "laws.joint", "laws.random_features"}

MAY_IMPORT: dict[str, set[str]] = {
    "base": set(),
    "ir": {"base"},
    "language": {"base", "shapeflow_grammar"},
    **dict.fromkeys(COMPONENTS, BASE),
    "laws.logs": BASE,
    "laws.fitting": {*BASE, "laws.logs"},
    "laws.mixing": {*BASE, "laws.logs"},
    "laws.random_features": {"ir"},
    "laws.exponents": {*BASE, "laws.fitting", "laws.logs", "laws.random_features"},
    "laws.joint": {*BASE, "laws.fitting", "laws.logs"},
    "laws": {*BASE, *LAWS},
    "registry": BASE,
    "stages": {*BASE, "foreign", "language", "laws.fitting", "registry"},
    "compiler": {*BASE, "language", "laws.fitting", "stages"},
    "running": {*BASE, "compiler", "registry", "stages"},
    "api": {*BASE, "compiler", "foreign", "running"},
    "": {*BASE, "api", "emitting", "laws.fitting", "notebook", "running"},
    "notebook": {*BASE, "laws.fitting", "preview", "running"},
    # The names of the torch backend for training loops of one's own; loaded when they are first used.
    "hf": {"foreign", "shapeflow_torch"},
    "lightning": {"foreign", "shapeflow_torch"},
    "torch": {"foreign", "shapeflow_torch"},
    "explain": {"base", "language", "registry"},
    "editing": {"base", "compiler", "explain", "language"},
    "doctor": {*BASE, "laws.logs", "registry"},
    "tokenize": {"base", "data"},
    "tracking": BASE,
    "emitting": BASE,
    # Adapters, and files of other libraries as weights of our models.
    "foreign": {*BASE, "models"},
    "preview": {*BASE, *LAWS, "data", "doctor", "explain", "running", "tokenize"},
    "report": {*BASE, "preview", "running"},
    "__main__": {"cli"},
    # Backends import the plan, the protocol of the training loop, and the components that they train.
    "shapeflow_simulator": {*BASE, "running"},
    "shapeflow_exact": {*BASE, "running"},
    "shapeflow_torch": {*BASE, "data", "foreign", "objectives", "optimizers", "running"},
    "shapeflow_grammar": set(),
}
"""Room -> the rooms that it may import. `cli` imports any of them and is imported by `__main__` alone."""

STAGES = {"assess", "find_credits", "find_laws", "find_profile", "lower", "resolve", "traverse"}
"""Compiler stages, which never import each other."""
SHARED_BY_STAGES = {"measured_files", "previews"}
"""Modules of `stages` that several stages import."""
LOOP = {"ir.edits", "ir.events", "ir.plan"}
"""The shapeflow modules that `running.execute` imports."""
TO_BACKENDS = {
    *("running.execute", "running.follow", "running.launchers", "running.lock", "running.meter", "running.options"),
    *(
        "running.replica",
        "running.run_folder",
        "running.run_log",
        "running.session",
        "running.stop",
        "running.verdicts",
    ),
}
"""The modules of `running` that a backend may import."""
KNOW_REGISTRY = {"doctor", "explain", "running.specs", "stages.resolve"}
"""The modules that look up components by name: names in `.shape` files, in questions, in columns of logs, in plans."""
BACKENDS = {"shapeflow_torch", "shapeflow_simulator", "shapeflow_exact"}
TORCH = {"torch", "safetensors", "sklearn"}
"""Packages that only the torch backend may import."""
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "os.system"}


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    roots = (ROOT / "backends", ROOT / "grammar", ROOT)
    parts = path.relative_to(next(root for root in roots if root in path.parents)).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def of_every_module(check: Callable[[str], None]) -> Callable[[], None]:
    """One test of a rule, for all modules: a test for each would take longer to collect than to run."""

    def test() -> None:
        for module in MODULES:
            try:
                check(module)
            except AssertionError as error:
                raise AssertionError(f"{module}: {error}") from error

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def room_of(module: str) -> str:
    """The room of a module: its first folder below `shapeflow`. `laws/` has seven rooms, each backend has one."""
    package, _, rest = module.partition(".")
    if package != "shapeflow":
        return package
    two = ".".join(rest.split(".")[:2])
    return two if two in LAWS else rest.split(".")[0]


def inside(module: str, depth: int = 2) -> str:
    """The first parts of a module's name below `shapeflow`."""
    return ".".join(module.split(".")[1 : 1 + depth])


@functools.cache
def imports(module: str, *, at_top: bool = False) -> tuple[str, ...]:
    """The dotted names that a file imports. `at_top` skips imports in functions and under `TYPE_CHECKING`."""
    tree = ast.parse(MODULES[module].read_text())
    if at_top:
        for node in ast.walk(tree):
            typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide what they mean"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


@functools.cache
def ours(module: str) -> frozenset[str]:
    """The shapeflow modules that a file imports."""
    names = {name for name in imports(module) if name.startswith("shapeflow")}
    return frozenset(name if name in MODULES else name.rpartition(".")[0] for name in names)


def test_every_file_belongs_to_a_room_in_the_table() -> None:
    assert {room_of(module) for module in MODULES} == {*MAY_IMPORT, "cli"}


@of_every_module
def test_rooms_import_only_rooms_that_the_table_allows(module: str) -> None:
    room = room_of(module)
    if room != "cli":
        assert {room_of(each) for each in ours(module)} - {room} <= MAY_IMPORT[room]


def test_no_file_imports_itself_indirectly() -> None:
    graph = {module: ours(module) - {module} for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def test_the_table_has_no_cycle() -> None:
    assert len(list(TopologicalSorter(MAY_IMPORT).static_order())) > len(COMPONENTS)


@of_every_module
def test_stages_never_import_each_other(module: str) -> None:
    if room_of(module) == "stages" and module != "shapeflow.stages":
        stage = inside(module)
        others = {inside(each) for each in ours(module) if room_of(each) == "stages"} - {stage}
        assert others <= {f"stages.{name}" for name in SHARED_BY_STAGES}
        assert stage.removeprefix("stages.") in STAGES | SHARED_BY_STAGES


@of_every_module
def test_only_the_compiler_knows_the_stages(module: str) -> None:
    if room_of(module) not in ("stages", "cli", "compiler"):
        assert {inside(each) for each in ours(module) if room_of(each) == "stages"} <= {"stages.previews"}


def test_the_loop_imports_only_edits_events_and_plans() -> None:
    assert {inside(each) for each in ours("shapeflow.running.execute")} == LOOP


@of_every_module
def test_a_backend_imports_the_loop_but_not_its_callers(module: str) -> None:
    if room_of(module) in BACKENDS:
        assert {inside(each) for each in ours(module) if room_of(each) == "running"} <= TO_BACKENDS


@of_every_module
def test_only_modules_that_look_up_names_import_the_registry(module: str) -> None:
    if "shapeflow.registry" in ours(module):
        assert KNOW_REGISTRY & {inside(module, 1), inside(module)}


@of_every_module
def test_no_backend_is_imported_before_a_command_asks_for_it(module: str) -> None:
    if room_of(module) not in BACKENDS:
        assert not any(name.split(".")[0] in BACKENDS for name in imports(module, at_top=True))


@of_every_module
def test_torch_belongs_to_one_package(module: str) -> None:
    wanted = TORCH & {name.split(".")[0] for name in imports(module)}
    assert not wanted or room_of(module) == "shapeflow_torch"


@of_every_module
def test_no_file_content_is_executed(module: str) -> None:
    assert not FORBIDDEN_MODULES & {name.split(".")[0] for name in imports(module)}
    nodes = ast.walk(ast.parse(MODULES[module].read_text()))
    assert not FORBIDDEN_CALLS & {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}


@of_every_module
def test_the_command_line_imports_slow_packages_on_demand(module: str) -> None:
    """The command line imports no slow package at module level, so `shapeflow --help` starts fast."""
    if room_of(module) == "cli":
        slow = {"numpy", "scipy", "lark", "rich", "cattrs", "torch"}
        assert not slow & {name.split(".")[0] for name in imports(module, at_top=True)}
