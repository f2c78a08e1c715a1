"""Each component is checked against the protocol of its kind when it is loaded; errors name the component."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest

from shapeflow import registry
from shapeflow.base.conformance import faults
from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.explain import explain, overview
from shapeflow.ir.components import PROTOCOLS
from shapeflow.registry import components, loaded

ROOT = Path(__file__).parent.parent

Install = Callable[[Mapping[str, str], str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a distribution `growth` with the given modules and entry points."""

    def made(modules: Mapping[str, str], entries: str) -> None:
        package = tmp_path / "site" / "growth"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        for name, text in modules.items():
            (package / f"{name}.py").write_text(text)
        about = tmp_path / "site" / "growth-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: growth\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(entries)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        forget()

    yield made
    forget()


def forget() -> None:
    loaded.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "growth"]:
        del sys.modules[name]


def source_of(kind: str, name: str) -> str:
    """The source of the module that defines one of shapeflow's own components."""
    return Path(inspect.getfile(components(kind)[name])).read_text()


BROKEN = [
    (
        "transition", "batch_resize", "def learning_rate(", "def learning_rates(",
        "has `learning_rates`, which nothing reads",
        "did you mean `learning_rate`? If it is a helper, call it `_learning_rates`",
    ),
    (
        "transition", "batch_resize", "    retain: ClassVar[float] = 0.0\n", "",
        "lacks `retain`",
        "write `retain: ClassVar[float] = ...`, or a property or setting of this name",
    ),
    (
        "transition", "batch_resize", "    retain: ClassVar[float] = 0.0\n", "    retian: ClassVar[float] = 0.0\n",
        "has `retian`, which nothing reads",
        "did you mean `retain`? If it is a helper, call it `_retian`",
    ),
    (
        "transition", "batch_resize", 'preserves: ClassVar[Preserves] = "exact"', 'preserves = "exactly"',
        "sets `preserves` to 'exactly', which is not of type Literal['exact', 'shared-positions', 'lossy']",
        "write `preserves: ClassVar[Literal['exact', 'shared-positions', 'lossy']] = ...`",
    ),
    (
        "transition", "depth_expand", "    @property\n    def preserves(self)", "    def preserves(self)",
        "declares `preserves` as a method, not as a value",
        "write `@property` above it",
    ),
    (
        "transition", "width_expand", "def edits(self, model: Model, before: Shape, after: Shape)",
        "def edits(self, model: Model, after: Shape, before: Shape)",
        "declares `edits` with the parameters (model, after, before), not (model, before, after)",
        "write `def edits(self, model: Model, before: Shape, after: Shape) -> tuple[Edit, ...]`",
    ),
    (
        "model", "transformer", "def declare(self, facts: DataFacts, stored: Mapping[str, int])",
        "def declare(self, facts: DataFacts)",
        "declares `declare` with the parameters (facts), not (facts, stored)",
        "write `def declare(self, facts: DataFacts, stored: Mapping[str, int]) -> Model`",
    ),
    (
        "data", "tokens", "def found_in(", "def find_in(",
        "has `find_in`, which nothing reads",
        "did you mean `found_in`? If it is a helper, call it `_find_in`",
    ),
    (
        "objective", "distill", "def taught(", "def tought(",
        "has `tought`, which nothing reads",
        "did you mean `taught`? If it is a helper, call it `_tought`",
    ),
    (
        "optimizer", "adamw", "    warmup: int = setting", "    warm_up: int = setting",
        "lacks `warmup`",
        "write `warmup: ClassVar[int] = ...`, or a property or setting of this name",
    ),
    (
        "metric", "loss", "    @property\n    def key(self) -> str:", "    def key(self) -> str:",
        "declares `key` as a method, not as a value",
        "write `@property` above it",
    ),
    (
        "axis", "patch", '    unit: ClassVar[str] = "px"\n', '    unit: str = "px"\n',
        "declares `unit` as a setting, not as a class variable",
        "write `unit: ClassVar[str] = ...`",
    ),
    (
        "axis", "batch", "    counts: ", "    count: ",
        "has `count`, which nothing reads",
        "did you mean `counts`? If it is a helper, call it `_count`",
    ),
    (
        "law source", "table",
        "def laws(self, request: LawRequest, report: Report)", "def laws(self, request: LawRequest)",
        "declares `laws` with the parameters (request), not (request, report)",
        "write `def laws(self, request: LawRequest, report: Report) -> Mapping[Shape, AnyLaw]`",
    ),
    (
        "law", "power", "def law(self, metric: str, convention: str)", "def law(self, metric: str, *, convention: str)",
        "declares `law` with the parameters (metric, *, convention), not (metric, convention)",
        "write `def law(self, metric: str, convention: str) -> Law`",
    ),
    (
        "traversal", "steepest", "    picks: ClassVar[bool] = True", '    picks: ClassVar[str] = "yes"',
        "sets `picks` to 'yes', which is not of type bool",
        "write `picks: ClassVar[bool] = ...`",
    ),
    (
        "traversal", "evenly", "(TraversalHooks)", "",
        "lacks the optional `picks`, `target`",
        "inherit their defaults: `class Evenly(TraversalHooks)`, from `shapeflow.ir.components`",
    ),
    (
        "traversal", "evenly", "@attrs.frozen\n", "",
        "is not an attrs class",
        "write `@attrs.frozen` above `class Evenly`",
    ),
    (
        "traversal", "steepest", "    extrapolate: bool = setting", "    extrapolate = setting",
        "has a setting `extrapolate` without a type",
        "write its type: `extrapolate: float = setting(...)`",
    ),
]  # fmt: skip
"""Kind, component, replaced text and its replacement, then the error message and its help."""


@pytest.mark.parametrize(
    ("kind", "name", "old", "new", "message", "help_"),
    BROKEN,
    ids=[f"{one[1]}-{one[3][:20].strip()}" for one in BROKEN],
)
def test_what_is_said_of_each_fault(
    install: Install, kind: str, name: str, old: str, new: str, message: str, help_: str
) -> None:
    source = source_of(kind, name)
    assert old in source
    install({name: source.replace(old, new)}, "")
    cls = getattr(import_module(f"growth.{name}"), components(kind)[name].__name__)
    assert [(fault.message, fault.help) for fault in faults(cls, PROTOCOLS[kind])] == [(message, help_)]


def test_shapeflows_own_components_have_no_faults_and_public_helpers_are_allowed() -> None:
    """`rotation`, `layouts` and `active` are not members of a protocol, and not similar to one."""
    for kind in registry.KINDS:
        assert components(kind)
        assert not loaded(kind).broken
    for kind, name, helper in (
        ("transition", "context_grow", "rotation"),
        ("objective", "denoising", "layouts"),
        ("objective", "mixture", "active"),
    ):
        assert helper in vars(components(kind)[name])


ALLOWED = """
import functools

import attrs

from shapeflow.ir.components import Transition, TransitionHooks
from shapeflow.transitions.batch_resize import BatchResize


@attrs.frozen
class Inherits(BatchResize):
    def learning_rates(self):
        return [self.learning_rate]

    def learning_rate(self, _facts, shape, scale=1.0):
        return scale

    @functools.lru_cache
    def memory(self, facts, shape):
        return 1.0


@attrs.frozen
class Bare(Transition):
    axis = "batch"
"""


def test_differences_that_are_allowed(install: Install) -> None:
    """Allowed: a helper whose name resembles a member, an unused parameter, an extra parameter with a default, a
    decorated method. Inheriting from the protocol class does not provide the required members."""
    install({"allowed": ALLOWED}, "")
    module = import_module("growth.allowed")
    assert faults(module.Inherits, PROTOCOLS["transition"]) == []
    lacking = [fault.member for fault in faults(module.Bare, PROTOCOLS["transition"])]
    assert lacking == [
        *("one_way", "preview", "preview_from", "retain", "credit", "preserves", "moments", "average"),
        *("reading", "edits"),
    ]


HASTY = """plan "grown in haste"
model      vit(depth: 2, patch: 4 px, width: 16, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 2e-3)
axis batch in [16, 32] via {}
stage (batch: 16) until 50%
stage (batch: 32) until end
budget     100 steps
"""


def compiled(tmp_path: Path, transition: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and stderr of `shapeflow compile`."""
    (tmp_path / "hasty.shape").write_text(HASTY.format(transition))
    code = answer(["compile", str(tmp_path / "hasty.shape")])
    return code, capsys.readouterr().err.replace(str(tmp_path / "hasty.shape"), "hasty.shape")


MISSPELT = """\
error[wrong-member]: the transition `hasty` has `learning_rates`, which nothing reads
 --> hasty.shape:6:28
  |
6 | axis batch in [16, 32] via hasty
  |                            ^^^^^ cannot be used
  = note: entry point `hasty = growth.hasty:BatchResize` of growth 1.0
  = help: did you mean `learning_rate`? If it is a helper, call it `_learning_rates`
"""


def test_a_misspelt_hook_is_an_error_if_it_is_used_and_a_warning_if_not(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = source_of("transition", "batch_resize").replace("def learning_rate(", "def learning_rates(")
    install({"hasty": source}, "[shapeflow.transitions]\nhasty = growth.hasty:BatchResize\n")
    code, said = compiled(tmp_path, "hasty", capsys)
    assert code == 1
    assert said.startswith(MISSPELT)
    code, said = compiled(tmp_path, "batch_resize", capsys)
    assert code == 0
    wrong = "warning[wrong-member]: the transition `hasty` has `learning_rates`, which nothing reads\n"
    assert said.lstrip().startswith(wrong)
    with pytest.raises(Refused, match="wrong-member: the transition `hasty` has `learning_rates`"):
        explain("hasty")
    first = "Cannot be used: the transition `hasty` has `learning_rates`, which nothing reads."
    assert overview().components["transition"]["hasty"] == first


UNLOADABLE = """\
error[broken-component]: the transition `hasty` cannot be loaded
 --> hasty.shape:6:28
  |
6 | axis batch in [16, 32] via hasty
  |                            ^^^^^ cannot be used
  = note: ModuleNotFoundError: No module named 'no_such_package'
  = note: entry point `quick = growth.hasty:Hasty` of growth 1.0
  = help: correct the entry point or the module that it names, or uninstall the distribution
"""


def test_a_module_that_cannot_be_imported(install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install({"hasty": "import no_such_package\n"}, "[shapeflow.transitions]\nquick = growth.hasty:Hasty\n")
    code, said = compiled(tmp_path, "hasty", capsys)
    assert code == 1
    assert said.startswith(UNLOADABLE)
    code, said = compiled(tmp_path, "batch_resize", capsys)
    assert code == 0
    assert said.lstrip().startswith("warning[broken-component]: the transition `hasty` cannot be loaded\n")


def test_a_misspelt_setting_is_refused(install: Install) -> None:
    """An optional member may be a setting. Under a misspelt name it would be set but never read."""
    text = source_of("objective", "cross_entropy").replace("label_smoothing", "label_smooting")
    install({"smooth": text}, "[shapeflow.objectives]\nsmooth = growth.smooth:CrossEntropy\n")
    (wrong, *_) = loaded("objective").broken["smooth"]
    assert "has a setting `label_smooting`, and does not have `label_smoothing`" in wrong.message
    assert (wrong.help or "").startswith("did you mean `label_smoothing`?")


def test_a_builtin_in_place_of_a_method(install: Install) -> None:
    text = "import attrs\n\n\n@attrs.frozen\nclass Odd:\n    decay = dict\n"
    install({"odd": text}, "[shapeflow.schedules]\nodd = growth.odd:Odd\n")
    assert {"constant", "cosine", "linear"} <= components("schedule").keys()


def test_an_entry_point_that_is_not_a_class(install: Install) -> None:
    install({"hasty": "def hasty(): ...\n"}, "[shapeflow.transitions]\nhasty = growth.hasty:hasty\n")
    (wrong,) = loaded("transition").broken["hasty"]
    assert wrong.message == "the transition `hasty` is not a class but a function"
    assert wrong.help == "name the class in the entry point"


def test_a_name_that_is_taken(install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = components("transition")["batch_resize"]
    entries = "[shapeflow.transitions]\nbatch_resize = growth.batch_resize:BatchResize\n"
    install({"batch_resize": source_of("transition", "batch_resize")}, entries)
    assert components("transition")["batch_resize"] is own
    code, said = compiled(tmp_path, "batch_resize", capsys)
    assert code == 0
    assert said.lstrip().startswith(
        "warning[component-clash]: another transition is called `batch_resize` already, and this one is not used\n"
        "  --> entry point `batch_resize = growth.batch_resize:BatchResize` of growth 1.0\n"
    )


def test_a_fault_in_a_component_of_shapeflow_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(components("transition")["batch_resize"], "retain")
    loaded.cache_clear()
    with pytest.raises(Refused, match="wrong-member: the transition `batch_resize` lacks `retain`"):
        components("transition")
    monkeypatch.undo()
    assert "batch_resize" in components("transition")


def test_no_hook_of_a_component_is_read_by_a_string() -> None:
    """`getattr(x, "hook", default)` would hide a misspelt hook name on either side."""
    hooks = {name for protocol in PROTOCOLS.values() for name in dir(protocol) if not name.startswith("_")}
    read = re.compile(r"(?:get|has)attr\(\s*[\w.()]+,\s*\"(\w+)\"")
    for path in sorted([*ROOT.glob("shapeflow/**/*.py"), *ROOT.glob("backends/**/*.py")]):
        assert not hooks.intersection(read.findall(path.read_text())), path


def test_an_exception_in_a_component_names_its_distribution(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = source_of("traversal", "evenly").replace("class Evenly", "class Crossing")
    broken, count = re.subn(r"( +)def route\(.*?:\n", r"\g<0>\1    raise ZeroDivisionError('by nought')\n", text)
    assert count == 1
    install({"crossing": broken}, "[shapeflow.traversals]\ncrossing = growth.crossing:Crossing\n")
    file = tmp_path / "plan.shape"
    example = (ROOT / "examples/laws_only.shape").read_text()
    file.write_text(re.sub(r"(?m)^traversal.*$", "traversal  crossing", example))
    assert answer(["compile", str(file)]) == 1
    said = capsys.readouterr().err
    assert "this is a bug in `growth`, which brings components: ZeroDivisionError: by nought (crossing.py:" in said
