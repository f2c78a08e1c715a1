"""Ctrl-C while a command begins: exit code 130, and no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

BEGIN = """
import os, runpy, sys

class Stops:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Stops())
sys.argv = ["shapeflow", "compile", "missing.shape"]
runpy.run_module("shapeflow", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["shapeflow.cli", "signal", "shapeflow.cli.group", "click", "shapeflow.compiler"])
def test_a_signal_while_modules_are_imported(module: str) -> None:
    program = BEGIN.format(module=module, number=int(signal.SIGINT))
    ended = subprocess.run([sys.executable, "-S", "-c", SITE + program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "stopped\n")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    program += BEGIN.format(module="click", number=int(signal.SIGINT))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "missing.shape" in ended.stderr


SITE = f"import sys; sys.path[:] = {sys.path!r}\n"
"""Without `site`, fewer modules are there before the command begins."""
