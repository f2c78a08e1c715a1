"""Every diagnostic code has an example in `tests/mistakes/`, with its output as a golden file.

`CODE.shape` or `CODE.VARIANT.shape` is compiled. A folder `CODE` with a `command` file gives the arguments of another
command, for codes of other inputs. The `.txt` file of the same name is stderr, with `tests/mistakes` as the working
folder. Refresh with `pytest --update-golden`, and review every difference as a user would read it.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Golden

from shapeflow.base.codes import CODES
from shapeflow.base.diagnostics import Report, Source
from shapeflow.cli import answer
from shapeflow.language import parse as parsing
from shapeflow.language.parse import parse

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "mistakes"
SHAPES = sorted(path.name for path in FOLDER.glob("*.shape"))
COMMANDS = sorted(path.parent.name for path in FOLDER.glob("*/command"))

ELSEWHERE: dict[str, str] = {
    "bad-launch": "test_torch_processes.py::test_a_launch_that_says_too_little",
    "batch-not-divisible": "test_torch_data.py::test_steps_that_processes_cannot_share",
    "broken-component": "test_components.py::test_a_module_that_cannot_be_imported",
    "broken-checkpoint": "test_torch_checkpoint.py::test_truncated",
    "broken-grain": "test_edits.py::test_gather_refuses",
    "broken-image": "test_torch_images.py::test_a_file_that_is_no_image_is_named",
    "component-clash": "test_components.py::test_a_name_that_is_taken",
    "many-epochs": "test_data_mixture.py::test_a_corpus_that_is_read_many_times_is_warned_of",
    "no-such-tracker": "test_tracking.py::test_names",
    "unnamed-runs": "test_laws_joint_columns.py::test_rows_that_may_be_ends_are_not_taken_for_curves_in_silence",
    "runs-in-parts": "test_log_proposals.py::test_parts_that_are_fitted_as_runs_are_named",
    "tracker-failed": "test_tracking.py::test_a_tracker_that_fails_is_dropped_with_one_warning",
    "too-many-entries": "test_walk.py::test_a_tree_above_the_limit",
    "wrong-bound": "test_bounds.py::test_a_bound_is_a_whole_number",
    "context-needs-rope": "test_transitions.py::test_refusals",
    "contradicting-devices": "test_torch_processes.py::test_contradicting_devices",
    "cooldown-left-out": "test_rates.py::test_no_run_of_a_sweep_cools_down",
    "weights-left-out": "test_data_mixture.py::test_weights_change_where_a_cooldown_begins",
    "data-changed": "test_torch_run.py::test_other_data_than_at_the_start",
    "data-mismatch": "test_torch_images.py::test_a_folder_that_is_not_what_the_file_says",
    "dead-entries": "test_check.py::test_entries_that_no_gradient_reaches_are_found",
    "disk-full": "test_torch_checkpoint.py::test_disk_full_leaves_the_old_one",
    "foreign-checkpoint": "test_torch_checkpoint.py::test_another_plan",
    "grow-under-view": "test_ledger.py::test_refused_edits",
    "not-exact": "test_exact_machine.py::test_plans_that_theory_does_not_describe",
    "one-process": "test_exact_machine.py::test_a_run_in_a_folder",
    "missing-extra": "test_tokenize.py::test_packages_that_are_not_installed",
    "implausible-number": "test_faults.py::test_a_traversal_that_returns_no_number",
    "does-not-fit": "test_torch_out_of_memory.py::test_auto_refuses_what_cannot_fit",
    "memory-unknown": "test_torch_out_of_memory.py::test_auto_needs_an_estimate",
    "out-of-memory": "test_torch_out_of_memory.py::test_a_failed_step_leaves_the_last_one",
    "loss-not-finite": "test_torch_run.py::test_a_loss_that_is_no_number",
    "not-in-plan": "test_rivals.py::test_what_a_plan_file_does_not_contain",
    "no-such-switch": "test_torch_grow.py::test_switches_that_are_refused",
    "unfit-model": "test_torch_grow.py::test_models_that_are_refused",
    "unfit-plan": "test_torch_hf.py::test_plans_that_are_refused",
    "unfit-trainer": "test_torch_hf.py::test_trainers_that_are_refused",
    "unsupported-version": "test_torch_hf.py::test_versions_that_are_refused",
    "unfit-optimizer": "test_torch_grow.py::test_optimizers_that_are_refused",
    "wrapped-module": "test_torch_grow.py::test_wrapped_modules_are_refused",
    "not-carried": "test_emit.py::test_what_a_target_cannot_carry",
    "cannot-emit": "test_emit.py::test_refusals",
    "missing-fact": "test_emit.py::test_refusals",
    "unknown-target": "test_emit.py::test_refusals",
    "not-text": "test_torch_generate.py::test_runs_that_have_no_text",
    "no-prompt": "test_torch_generate.py::test_a_prompt_of_nothing",
    "other-tokenizer": "test_torch_generate.py::test_the_tokenizer_of_a_run",
    "cannot-import": "test_import.py::test_keys_that_do_not_fit",
    "cannot-export": "test_torch_foreign.py::test_what_another_library_cannot_hold",
    "folder-in-use": "test_emit.py::test_the_command",
    "no-such-step": "test_follow.py::test_a_step_that_the_plan_does_not_have",
    "other-world": "test_torch_follow.py::test_samplers_that_are_refused",
    "no-checkpoint": "test_refusals.py::test_a_simulation_keeps_no_checkpoint",
    "no-matplotlib": "test_refusals.py::test_drawing_without_matplotlib",
    "no-patch": "test_transitions.py::test_refusals",
    "no-prefix-mask": "test_torch_denoising.py::test_a_module_without_such_a_mask",
    "no-processes": "test_torch_run.py::test_devices_that_are_none",
    "no-slot": "test_ledger.py::test_refused_edits",
    "no-such-data": "test_torch_data.py::test_data_that_nobody_reads",
    "no-such-device": "test_torch_run.py::test_devices_that_are_none",
    "no-such-steps": "test_trace.py::test_steps_that_a_plan_does_not_have",
    "cannot-profile": "test_trace.py::test_only_torch_makes_traces",
    "not-profiled": "test_trace.py::test_a_run_that_ends_within_the_steps",
    "no-such-gpus": "test_torch_run.py::test_more_gpus_than_there_are",
    "no-such-metric": "test_torch_run.py::test_a_goal_ends_a_run_early",
    "no-such-model": "test_refusals.py::test_what_a_backend_does_not_have",
    "no-such-objective": "test_refusals.py::test_what_a_backend_does_not_have",
    "no-such-optimizer": "test_refusals.py::test_what_a_backend_does_not_have",
    "no-such-view": "test_torch_models.py::test_a_view_that_the_module_does_not_read_through_is_refused",
    "not-arrived": "test_ledger.py::test_a_forgotten_parameter_has_not_arrived",
    "not-preserving": "test_check.py::test_a_transition_of_another_distribution_is_held_to_its_word",
    "one-way": "test_edits.py::test_gather_refuses",
    "other-history": "test_branch.py::test_a_plan_that_differs_before_is_refused",
    "no-weights": "test_exact_machine.py::test_a_run_without_weights_is_not_exported",
    "other-devices": "test_profile.py::test_a_run_in_other_processes_than_its_profile",
    "other-machine": "test_exact_machine.py::test_a_run_of_another_machine_is_left_alone",
    "other-plan": "test_extend.py::test_another_training_is_not_continued",
    "rival-left-out": "test_rivals.py::test_default_rivals_that_cannot_be_trained_are_left_out",
    "run-busy": "test_torch_run.py::test_two_runs_in_one_folder",
    "run-exists": "test_torch_run.py::test_a_folder_that_holds_a_run_is_left_alone",
    "run-failed": "test_refusals.py::test_a_job_that_failed",
    "run-removed": "test_torch_folder.py::test_a_folder_that_is_removed_during_the_run",
    "run-unfinished": "test_torch_distill.py::test_a_run_that_has_not_ended",
    "schedule-left-out": "test_schedules.py::test_no_run_of_a_sweep_has_a_schedule",
    "slot-contested": "test_edits.py::test_joined_follows_the_order_and_refuses_a_contested_slot",
    "start-changed": "test_torch_start.py::test_a_missing_or_changed_file_is_refused_before_anything_is_written",
    "start-left-out": "test_start.py::test_runs_for_laws_and_comparisons_start_from_new_weights",
    "laws-from-scratch": "test_start.py::test_a_law_that_is_a_table_is_not_entered",
    "teacher-changed": "test_torch_distill.py::test_a_missing_or_changed_teacher_is_reported_before_the_first_step",
    "allowance-too-small": "test_ask.py::test_an_allowance_for_no_runs_is_refused",
    "undeclared-state": "test_torch_optimizers.py::test_state_other_than_declared_is_refused_after_the_first_update",
    "uncounted-budget": "test_traversals.py::test_what_steepest_refuses",
    "unknown-backend": "test_refusals.py::test_a_backend_that_nobody_brings",
    "unknown-dim": "test_ledger.py::test_refused_edits",
    "unknown-metric": "test_refusals.py::test_a_comparison_by_what_was_not_measured",
    "unknown-parameter": "test_ledger.py::test_refused_edits",
    "unknown-role": "test_models.py::test_refusals",
    "worker-lost": "test_torch_processes.py::test_a_lost_process_is_reported_and_its_run_resumed",
    "wrong-member": "test_components.py::test_what_is_said_of_each_fault",
    "wrong-parameters": "test_torch_models.py::test_other_parameters_than_declared_are_refused",
    "wrong-state": "test_check.py::test_a_state_of_other_sizes_is_found",
    "wrong-value": "test_axes.py::test_impossible_values",
}
"""Codes without an example file, as they need torch, a device, a full disk or a broken component -> their test."""


def code_of(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", SHAPES)
def test_mistakes_in_a_file(
    name: str, golden: Golden, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(name.removesuffix(".shape"), ["compile", name], golden, monkeypatch, capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_mistakes_in_other_input(
    name: str, golden: Golden, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split((FOLDER / name / "command").read_text())
    check(name, arguments, golden, monkeypatch, capsys)


def check(
    name: str,
    arguments: list[str],
    golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("NO_COLOR", "1")
    status = answer(arguments)
    said = capsys.readouterr().err
    golden(FOLDER / f"{name}.txt", said)
    heads = re.findall(r"^(error|warning)\[([a-z-]+)\]", said, re.MULTILINE)
    assert code_of(name) in {code for _, code in heads}
    assert status == (1 if "error" in {severity for severity, _ in heads} else 0)


def test_every_code_has_an_example() -> None:
    shown = {code_of(name) for name in SHAPES + COMMANDS}
    assert shown | set(ELSEWHERE) == set(CODES)
    assert not shown & set(ELSEWHERE)


def test_no_golden_file_lacks_its_mistake() -> None:
    texts = {path.stem for path in FOLDER.glob("*.txt")}
    assert texts == {name.removesuffix(".shape") for name in SHAPES} | set(COMMANDS)


@pytest.mark.parametrize(("code", "test"), ELSEWHERE.items())
def test_codes_without_an_example_are_tested_elsewhere(code: str, test: str) -> None:
    path, _, name = test.partition("::")
    text = (ROOT / "tests" / path).read_text()
    tests = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    assert name in tests
    assert code in text


RAISERS = {"error", "warning", "warn", "Diagnostic", "EditError"}
KEBAB = re.compile(r"[a-z]+(-[a-z]+)*")


def raised() -> dict[str, set[str]]:
    """Code -> the files that raise it: string literals that are the first argument of a function that raises."""
    found: dict[str, set[str]] = {}
    for path in [*ROOT.glob("shapeflow/**/*.py"), *ROOT.glob("backends/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first, function = node.args[0], node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            code = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
            if name in RAISERS and KEBAB.fullmatch(code):
                found.setdefault(code, set()).add(path.name)
    return found


def test_the_catalogue_has_every_code_that_is_raised_and_no_other() -> None:
    codes = raised()
    assert set(codes) - set(CODES) == set(), "add to shapeflow/base/codes.py, with an example in tests/mistakes"
    assert set(CODES) - set(codes) == set(), "nobody raises these any more"


def test_a_code_is_explained_in_sentences() -> None:
    for code, text in CODES.items():
        assert KEBAB.fullmatch(code), code
        assert text.endswith("."), code
        assert text[0].isupper() or text[0] == "`", code


def quoted(text: str) -> Iterator[str]:
    """The texts in backticks that are complete sentences of the language."""
    openers = parsing.reserved_words().openers
    for words in re.findall(r"`([^`]+)`", text):
        if words.split()[0] in openers and len(words.split()) > 1 and "..." not in words:
            yield words


def test_sentences_that_help_quotes_parse() -> None:
    texts = [path.read_text() for path in FOLDER.glob("*.txt")]
    helps = [line for text in texts for line in re.findall(r"= help: (.*)", text)]
    sentences = sorted({sentence for help in [*helps, *CODES.values()] for sentence in quoted(help)})
    assert len(sentences) > 10
    for sentence in sentences:
        report = Report()
        parse(Source(sentence, sentence), report)
        assert not report.failed, sentence
