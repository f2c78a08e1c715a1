"""`check`: replicas of plans, and which switches pass or fail on them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from conftest import Golden
from plans import toy_image_plan, toy_text_plan
from rich.console import Console
from sources import compiled
from torch_tools import machine, outputs

from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.data.python_source import PythonSource
from shapeflow.data.text import Text
from shapeflow.ir.edits import Along, Constant, Copy, Edit, Grow, Mean, Normal, Scale
from shapeflow.ir.plan import AxisUnit, Plan, Transition
from shapeflow.ir.plan_check import faults
from shapeflow.ir.plan_json import save, sealed
from shapeflow.objectives.denoising import Denoising
from shapeflow.preview.check import _words, check_view
from shapeflow.registry import loaded
from shapeflow.running import replica as replicas
from shapeflow.running.replica import Divisors, divisors, replica
from shapeflow.running.verdicts import EXACT, Verdict
from shapeflow.transitions.context_grow import ContextGrow
from shapeflow.transitions.depth_expand import DepthExpand
from shapeflow_torch import check as checking
from shapeflow_torch.check import check
from shapeflow_torch.entries import new_entries
from shapeflow_torch.surgery import Kept

EXAMPLES = Path(__file__).parent.parent / "examples"


def stretched(rope: str) -> ContextGrow:
    base = 5e5 if rope == "base" else None
    return ContextGrow(rope=rope, trained=16, allow_lossy=True, base=base)  # type: ignore[arg-type]


WIDER = (({"width": 32}, 4), ({"width": 48}, 4), ({"width": 64}, 4))
PLANS: dict[str, Callable[[], Plan]] = {
    "vit-preserve": lambda: toy_image_plan(WIDER),
    "vit-net2net": lambda: toy_image_plan(WIDER, init="net2net"),
    "vit-normal": lambda: toy_image_plan(WIDER, init="normal"),
    "vit-patch": lambda: toy_image_plan((({"patch": 4}, 4), ({"patch": 2}, 4), ({"patch": 8}, 4)), preview=0.2),
    "vit-patch-width": lambda: toy_image_plan((({"patch": 4, "width": 32}, 4), ({"patch": 2, "width": 64}, 4))),
    "vit-resolution": lambda: toy_image_plan(
        (({"resolution": 4, "patch": 2}, 4), ({"resolution": 8, "patch": 4}, 4), ({"resolution": 8, "patch": 2}, 4)),
        preview=0.2,
    ),
    "vit-tokens": lambda: toy_image_plan(
        (({"depth": 2, "width": 32}, 4), ({"depth": 3, "width": 64}, 4)), model={"pool": "cls", "registers": 2}
    ),
    "vit-batch": lambda: toy_image_plan((({"batch": 16}, 4), ({"batch": 64}, 4))),
    "vit-depth-width": lambda: toy_image_plan((({"depth": 2, "width": 32}, 4), ({"depth": 6, "width": 48}, 4))),
    "text-preserve": lambda: toy_text_plan(WIDER, model={"kv_ratio": 2}),
    "text-net2net": lambda: toy_text_plan(WIDER, init="net2net", model={"tied": False}),
    "text-context": lambda: toy_text_plan((({"context": 16}, 4), ({"context": 64}, 4)), preview=0.2),
    "text-context-width": lambda: toy_text_plan((({"context": 64, "width": 32}, 4), ({"context": 16, "width": 64}, 4))),
    "text-context-batch": lambda: toy_text_plan(
        (({"context": 16, "batch": 256}, 4), ({"context": 64, "batch": 512}, 4))
    ),
    "text-copyzero": lambda: toy_text_plan((({"depth": 2}, 4), ({"depth": 5}, 4))),
    "text-zero": lambda: toy_text_plan((({"depth": 2}, 4), ({"depth": 4}, 4)), depth=DepthExpand(init="zero")),
    "text-stack": lambda: toy_text_plan((({"depth": 2}, 4), ({"depth": 4}, 4)), depth=DepthExpand(init="stack")),
    **{
        f"text-rope-{rope}": lambda rope=rope: toy_text_plan(  # type: ignore[misc]
            (({"context": 16}, 4), ({"context": 64}, 4)), preview=0.2, context=stretched(rope)
        )
        for rope in ("linear", "ntk", "yarn", "base")
    },
    "text-document": lambda: toy_text_plan(
        (({"context": 16, "width": 32}, 4), ({"context": 64, "width": 64}, 4)),
        model={"attend": "document", "kv_ratio": 2},
        data=Text(path="a.txt", batch=256),
    ),
    "text-denoising": lambda: toy_text_plan(
        (({"context": 16}, 4), ({"context": 64}, 4)), preview=0.2, objective=Denoising(sentinels=12, prefix="full")
    ),
    "vit-loss": lambda: toy_image_plan((({"loss": "cross_entropy"}, 4), ({"loss": "smooth"}, 4))),
    "vit-five-axes": lambda: toy_image_plan(
        (
            ({"depth": 2, "width": 32, "patch": 4, "batch": 16, "loss": "cross_entropy"}, 4),
            ({"depth": 4, "width": 48, "patch": 2, "batch": 32, "loss": "smooth"}, 4),
        )
    ),
    "text-five-axes": lambda: toy_text_plan(
        (
            ({"depth": 2, "width": 32, "context": 16, "batch": 256, "loss": "next_token"}, 4),
            ({"depth": 3, "width": 48, "context": 64, "batch": 512, "loss": "denoising"}, 4),
        )
    ),
    "text-reset": lambda: toy_text_plan(WIDER, moments="reset"),
}


def switched(plan: Plan) -> Verdict:
    """The verdict on the first switch of a plan."""
    return check(plan).switches[0]


def otherwise(plan: Plan, change: Callable[[Edit], Edit | None], **fields: object) -> Plan:
    """The plan with `change` applied to each edit of its first switch; None removes the edit."""
    stage = plan.stages[1]
    assert stage.transition is not None
    edits = tuple(made for edit in stage.transition.edits if (made := change(edit)) is not None)
    transition: Transition = attrs.evolve(stage.transition, edits=edits, **fields)  # type: ignore[arg-type]
    return attrs.evolve(plan, stages=(plan.stages[0], attrs.evolve(stage, transition=transition), *plan.stages[2:]))


@pytest.mark.parametrize("name", PLANS)
def test_a_replica_is_a_valid_plan(name: str) -> None:
    plan = PLANS[name]()
    small = replica(plan)
    assert list(faults(small)) == []
    assert small.slots["head_width"] == 4
    assert [stage.sizes["residual"] * 2 for stage in small.stages] == [stage.sizes["residual"] for stage in plan.stages]
    assert all(edit.by for stage in small.stages if stage.transition for edit in scales(stage.transition))
    for own, made in zip(plan.stages, small.stages, strict=True):
        assert made.shape == own.shape
        assert (made.batch or 0) <= (own.batch or 0)
        assert [type(edit) for edit in made.reading] == [type(edit) for edit in own.reading]


def scales(transition: Transition) -> Iterator[Scale]:
    return (edit for edit in transition.edits if isinstance(edit, Scale))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.shape")), ids=lambda path: path.stem)
def test_every_example_has_a_replica(path: Path) -> None:
    plan = compile_file(path)
    assert list(faults(replica(plan))) == []
    # Random features have no channels to divide.
    if plan.runnable and plan.model is not None and plan.model.name != "random_features":
        assert divisors(plan).channels > 1


def test_what_a_replica_is_divided_by() -> None:
    deep = toy_text_plan(
        (({"depth": 6, "context": 2048}, 4), ({"depth": 12, "context": 4096}, 4)), data=PythonSource(batch=8192)
    )
    assert divisors(deep) == Divisors(channels=2, depth=3, length=4)
    assert replica(deep).stages[1].sizes["depth"] == 4
    narrow = toy_text_plan(model={"head_width": 4})
    assert divisors(narrow).channels == 1
    assert replica(narrow).stages[0].sizes == narrow.stages[0].sizes


def test_an_axis_in_tokens_is_divided_like_the_context() -> None:
    """A slot counts tokens if the plan gives its axis the unit `tokens`; no axis name is special."""
    plan = toy_text_plan((({"context": 2048}, 4), ({"context": 4096}, 4)), data=PythonSource(batch=8192))
    plan = attrs.evolve(plan, slots={**plan.slots, "stride": 512})
    assert replica(plan).slots["stride"] == 512
    windowed = attrs.evolve(plan, axes=(*plan.axes, AxisUnit("stride", "tokens"), AxisUnit("batch", "tokens")))
    assert divisors(windowed).length == 4
    assert replica(windowed).slots["stride"] == 128


def test_replicas_copy_whole_heads() -> None:
    small = replica(PLANS["text-net2net"]())
    transition = small.stages[1].transition
    assert transition is not None
    grains = {
        along.fill.grain
        for edit in transition.edits
        if isinstance(edit, Grow)
        for along in edit.along
        if isinstance(along.fill, Copy) and along.dim == "heads"
    }
    assert grains == {4}


@pytest.mark.parametrize("name", PLANS)
def test_shapeflows_own_transitions_pass(name: str) -> None:
    found = check(PLANS[name]())
    assert found.diagnostics == ()
    assert found.reduced
    assert len(found.switches) == len(PLANS[name]().stages) - 1
    for verdict in found.switches:
        if verdict.says == "lossy":
            assert verdict.logits > 1e-3
        else:
            assert verdict.logits < 1e-12
            assert verdict.averaged < 1e-12
        assert verdict.reached is None or verdict.reached > 0.8  # rows of unread tokens
    assert found.blends == sum(len(stage.blends) for stage in PLANS[name]().stages)


def test_the_numbers_are_the_same_every_time() -> None:
    plan = PLANS["vit-normal"]()
    assert check(plan) == check(plan)


def test_a_wrong_transition_is_found() -> None:
    """Norms that ignore the width change the logits by about 1e-1; a wrong eps alone changes them by about 1e-7."""
    plan = PLANS["vit-preserve"]()
    stale = switched(otherwise(plan, lambda edit: attrs.evolve(edit, scale=1.0) if isinstance(edit, Grow) else edit))
    assert [fault.code for fault in stale.faults] == ["not-preserving", "not-preserving"]
    assert "`width_expand` claims to keep all logits" in stale.faults[0].message
    assert stale.logits > 1e-2
    slight = switched(otherwise(plan, lambda edit: None if isinstance(edit, Scale) else edit))
    assert 10 * EXACT < slight.logits < 1e-5
    assert {fault.code for fault in slight.faults} == {"not-preserving"}


def test_an_error_that_initial_weights_hide_is_found() -> None:
    """All biases of norms are 0 at initialization, so an error in how they grow has no effect on a fresh model."""

    def meant(edit: Edit) -> Edit:
        if not (isinstance(edit, Grow) and edit.parameter == "norm.bias"):
            return edit
        return attrs.evolve(edit, along=tuple(Along(along.dim, along.to, Mean()) for along in edit.along))

    # The head reads new channels with nonzero weights, so the outputs of a norm there matter.
    plan = otherwise(PLANS["vit-preserve"](), meant)
    made = machine(plan, torch.float64)
    before, stage = outputs(made), plan.stages[1]
    assert stage.transition is not None
    made.apply(stage.transition, stage)
    assert float((outputs(made) - before).abs().max()) < 1e-12
    assert switched(plan).logits > 1e-3


def test_entries_that_no_gradient_reaches_are_found() -> None:
    def zeroed(edit: Edit) -> Edit:
        if not isinstance(edit, Grow):
            return edit
        alongs = (a if isinstance(a.fill, Copy) or not isinstance(a.fill, Normal) else dead(a) for a in edit.along)
        return attrs.evolve(edit, along=tuple(alongs))

    def dead(along: Along) -> Along:
        return Along(along.dim, along.to, Constant(0.0))

    verdict = switched(otherwise(PLANS["text-preserve"](), zeroed))
    assert verdict.logits < 1e-12
    assert verdict.reached == 0.0
    assert {fault.code for fault in verdict.faults} == {"dead-entries"}
    assert any("`blocks.{depth}.mlp.up.weight`" in fault.message for fault in verdict.faults)


def test_an_irreversible_reading_is_found() -> None:
    def unread(plan: Plan) -> Plan:
        return attrs.evolve(plan, stages=(attrs.evolve(plan.stages[0], reading=()), *plan.stages[1:]))

    verdict = switched(unread(toy_image_plan()))
    assert ["cannot be undone" in fault.message for fault in verdict.faults] == [True]
    found = check(unread(toy_image_plan(preview=0.2)))
    assert [fault.code for fault in found.faults] == ["not-preserving"]
    assert "(patch: 2)" in found.faults[0].message


def test_a_state_of_other_sizes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from shapeflow_torch import machine as machines

    operate = machines.operate

    def forgetful(kept: Kept, *arguments: Any) -> None:
        operate(kept, *arguments)
        del kept.states["norm.weight"]

    monkeypatch.setattr(machines, "operate", forgetful)
    verdict = switched(PLANS["text-preserve"]())
    assert [fault.code for fault in verdict.faults] == ["wrong-state"]
    assert verdict.faults[0].notes == ("`norm.weight`",)


def test_new_entries_are_those_outside_the_old_block() -> None:
    plan = toy_text_plan((({"depth": 2, "width": 32}, 4), ({"depth": 4, "width": 48}, 4)), init="net2net")
    made, stage = machine(plan), plan.stages[1]
    assert stage.transition is not None
    masks = new_entries(made.ledger, stage.transition.edits)
    assert [bool(mask.all()) for mask in masks["norm.weight"]] == [False]
    assert masks["norm.weight"][0].tolist() == [False] * 32 + [True] * 16
    # Each copy follows its source, so blocks 1 and 3 (from 0) are new. In block 0, the old corner is not new.
    assert [bool(mask.all()) for mask in masks["blocks.{depth}.attn.q.weight"]] == [False, True, False, True]
    assert (~masks["blocks.{depth}.attn.q.weight"][0]).sum() == 32 * 32


def test_a_replica_that_cannot_be_built_is_replaced_by_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(plan: Plan, by: Divisors | None = None) -> Plan:
        made = replica(plan, by)
        return made if by == Divisors() else attrs.evolve(made, slots={**made.slots, "head_width": 3})

    monkeypatch.setattr(checking, "replica", broken)
    found = check(PLANS["vit-preserve"]())
    assert not found.reduced
    assert found.diagnostics == ()
    assert found.notes[0].startswith("its replica cannot be built: shape '[4, ")


def test_a_switch_that_fails_on_the_replica_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised, instead of repeating the check on the full model, which could hide it."""
    from shapeflow_torch import machine as machines

    operate, made = machines.operate, []

    def failing(*arguments: object) -> object:
        made.append(1)
        if len(made) == 1:
            raise RuntimeError("sizes do not match")
        return operate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(machines, "operate", failing)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        check(PLANS["vit-preserve"]())


LONG = """
objective denoising(sentinels: 1000)
model transformer(depth: 2, width: 64, head_width: 16)
data python_source(batch: 8192 tokens)
axis context in [32, 8192] tokens via context_grow(preview: 0%)
stage (context: 32 tokens) until 50%
stage (context: 8192 tokens) until end
budget 4 steps
"""


def test_contexts_stay_long_enough_for_the_objective(tmp_path: Path) -> None:
    plan = compiled(tmp_path, LONG)
    assert divisors(plan).length == 4
    found = check(plan)
    assert found.diagnostics == ()
    assert found.notes == ()


def test_an_objective_that_short_contexts_do_not_suit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check falls back to the plan's own contexts. If the objective rejects these too, it reports an error."""
    monkeypatch.setattr(replicas, "SHORTEST", 1)
    monkeypatch.setattr(replicas, "LONGEST", 16)
    plan = compiled(tmp_path, LONG.replace("8192", "128"))
    assert divisors(plan).length == 8
    assert check(plan).notes == ("shorter contexts do not work: a context of 4 tokens is too short for `denoising`",)
    few = attrs.evolve(plan.objectives["denoising"], settings={**plan.objectives["denoising"].settings, "sentinels": 2})
    monkeypatch.setattr(checking, "divisors", lambda plan: Divisors())
    with pytest.raises(Refused, match="context-too-short"):
        check(attrs.evolve(short(plan), objectives={"denoising": few}))


def short(plan: Plan) -> Plan:
    """The plan with contexts divided by 8, which the compiler would refuse for denoising."""
    return replica(plan, Divisors(length=8))


def test_a_module_that_differs_from_its_declaration_is_refused() -> None:
    plan = PLANS["vit-preserve"]()
    parameters = tuple(p for p in plan.parameters if p.name != "head.bias")
    kept = otherwise(
        attrs.evolve(plan, parameters=parameters),
        lambda edit: None if getattr(edit, "parameter", "") == "head.bias" else edit,
    )
    with pytest.raises(Refused, match="wrong-parameters"):
        check(kept)


STRANGER = '''
import attrs
from shapeflow.ir.edits import Scale
from shapeflow.transitions.width_expand import WidthExpand

@attrs.frozen
class Hasty(WidthExpand):
    """Moves along `width`, and forgets the norms."""

    def edits(self, model, before, after):
        made = super().edits(model, before, after)
        return tuple(attrs.evolve(e, scale=1.0) if hasattr(e, "scale") else e for e in made if not isinstance(e, Scale))
'''

HASTY = """plan "grown in haste"
model      vit(depth: 2, patch: 4 px, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 2e-3)
metric     classification_error
axis width in [16, 32] via hasty
stage (width: 16) until 50%
stage (width: 32) until end
budget     100 steps
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an installed distribution that defines the transition `hasty`."""
    (tmp_path / "growth").mkdir()
    (tmp_path / "growth" / "__init__.py").write_text("")
    (tmp_path / "growth" / "hasty.py").write_text(STRANGER)
    about = tmp_path / "growth-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: growth\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[shapeflow.transitions]\nhasty = growth.hasty:Hasty\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded.cache_clear()
    yield tmp_path
    loaded.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "growth"]:
        del sys.modules[name]


def test_a_transition_of_another_distribution_is_held_to_its_word(
    stranger: Path, golden: Golden, capsys: pytest.CaptureFixture[str]
) -> None:
    (stranger / "hasty.shape").write_text(HASTY)
    assert answer(["check", str(stranger / "hasty.shape")]) == 1
    said = capsys.readouterr()
    assert "error[not-preserving]: `hasty` claims to keep all logits" in said.err
    golden(Path(__file__).parent / "golden" / "check" / "hasty.txt", said.out + "\n" + said.err)
    assert answer(["check", str(stranger / "hasty.shape"), "--set", "axis width in [16, 32] via width_expand"]) == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(toy_image_plan(WIDER), tmp_path / "plan.json")
    assert answer(["check", str(tmp_path / "plan.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kept"]
    assert [(switch["stage"], switch["says"]) for switch in found["switches"]] == [(2, "exact"), (3, "exact")]
    assert all(switch["logits"] < EXACT for switch in found["switches"])
    assert answer(["check", str(tmp_path / "plan.json"), "--data"]) == 0
    assert "kept" in capsys.readouterr().out
    save(toy_image_plan((({"patch": 4}, 6),)), tmp_path / "one.json")
    assert answer(["check", str(tmp_path / "one.json")]) == 0
    assert "the plan has no switch" in capsys.readouterr().out


def test_a_plan_without_a_model_has_nothing_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["check", str(EXAMPLES / "laws_only.shape")]) == 1
    assert "error[no-model]" in capsys.readouterr().err


def test_a_run_may_check_its_plan_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = otherwise(PLANS["vit-preserve"](), lambda edit: None if isinstance(edit, Scale) else edit)
    save(sealed(plan), tmp_path / "plan.json")
    arguments = ["run", str(tmp_path / "plan.json"), "--output", str(tmp_path / "run"), "--quiet"]
    assert answer([*arguments, "--check"]) == 1
    said = capsys.readouterr()
    assert "error[not-preserving]" in said.err
    assert said.out == ""
    assert not (tmp_path / "run").exists()


def test_a_lossy_switch_that_changes_nothing_is_noted() -> None:
    """A slot that no module reads leaves the logits as they are; growth by noise does not."""
    plan = toy_image_plan(WIDER)
    checked = check(plan)
    silent = attrs.evolve(checked.switches[0], says="lossy", logits=0.0)
    out = io.StringIO()
    Console(file=out, width=120).print(check_view(plan, attrs.evolve(checked, switches=(silent,))))
    assert "switch 1 is declared lossy, but no logit changes" in out.getvalue()
    assert "no logit changes" not in str(list(_words(checked)))
