"""What notebooks show. The stand-in has the calls of IPython that are used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from plans import toy_image_plan

import shapeflow
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.notebook import SHOWN, plan_html, refused_html, register, run_html

EXAMPLES = Path(__file__).parents[1] / "examples"
EVIL = "<script>alert(1)</script>\x1b[31m</pre>"


class Shell:
    """What IPython gives to `register`."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, str], Callable[[Any], str]] = {}
        self.handled: tuple[type[BaseException], ...] = ()
        self.handler: Any = None
        named = SimpleNamespace(for_type_by_name=lambda *key: self.shown.update({key[:2]: key[2]}))
        self.display_formatter = SimpleNamespace(formatters={"text/html": named})

    def set_custom_exc(self, kinds: tuple[type[BaseException], ...], handler: Any) -> None:
        self.handled, self.handler = kinds, handler


def test_what_is_registered_exists() -> None:
    register(shell := Shell())
    assert shell.shown == SHOWN
    for module, name in SHOWN:
        assert isinstance(getattr(import_module(module), name), type)
    register(None)


def test_a_plan_is_shown_as_compile_prints_it() -> None:
    plan = shapeflow.compile(EXAMPLES / "laws_only.shape")
    shown = plan_html(plan)
    assert shown.startswith("<pre ")
    assert "saves 31.3% of the FLOPs" in shown


def test_texts_of_files_stay_texts() -> None:
    shown = plan_html(toy_image_plan(name=EVIL)) + refused_html(Refused(Diagnostic("syntax", EVIL, place=EVIL)))
    assert "<script>" not in shown
    assert "\x1b" not in shown
    assert shown.count("</pre>") == shown.count("<pre") == 2


def test_a_run_is_shown_as_show_prints_it(tmp_path: Path) -> None:
    shapeflow.run(toy_image_plan((({"patch": 4}, 2),)), tmp_path / "run", device="cpu")
    assert "finished, 2 steps" in run_html(shapeflow.read_run(tmp_path / "run"))


def test_a_refusal_is_printed_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    register(shell := Shell())
    with pytest.raises(Refused) as refused:
        shapeflow.compile(EXAMPLES / "no such.shape")
    assert shell.handled == (Refused,)
    shell.handler(shell, Refused, refused.value, None, tb_offset=1)
    said = capsys.readouterr().err
    assert said.startswith("error[")
    assert "Traceback" not in said


def test_outside_notebooks_nothing_of_it_is_imported() -> None:
    code = "import shapeflow, sys; assert not {'shapeflow.notebook', 'rich', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
