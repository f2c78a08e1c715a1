"""Which columns a joint law takes for N, D and the loss, and that it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import trainers

from shapeflow.cli import answer

LETTER = "(guess, by the letter of papers on scaling laws"


def ladder(size: str, data: str, error: str) -> None:
    found = []
    for width, n in ((64, 1e6), (128, 4e6), (256, 1.6e7), (512, 6.4e7)):
        for d in (n * 5 * 2**k for k in range(8)):
            amount = 6 * n * d if data in ("C", "c", "compute") else d
            loss = round(1.8 + 482 / n**0.35 + 2085 / d**0.37, 4)
            found.append({"width": width, size: int(n), data: int(amount), error: loss})
    trainers.table(Path("a.csv"), found)
    Path("a.shape").write_text(
        "axis width in [64, 128, 256, 512] via width_expand\n"
        'laws from fit("a.csv", form: chinchilla, resamples: 0)\ntraversal steepest\nbudget 100 PFLOPs\n'
    )


def shown(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert answer(words) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("N", "D", "L"), [f"N: `N` {LETTER}", f"D: `D` {LETTER}", f"loss: `L` {LETTER}"]),
        (("n", "d", "l"), [f"N: `n` {LETTER}", f"D: `d` {LETTER}", f"loss: `l` {LETTER}"]),
        (("N", "C", "L"), [f"D: compute / (6 N), with compute `C` {LETTER}"]),
        (("n_params", "compute", "val_loss"), ["with compute `compute` (certain, by its name)", "loss: `val_loss`"]),
    ],
)
def test_a_joint_fit_says_what_it_takes_for_parameters_tokens_and_loss(
    names: tuple[str, str, str],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    ladder(*names)
    frontier = shown(["frontier", "a.csv"], capsys)
    assert all(f"`{name}`" in frontier for name in names)
    text = shown(["fit", "a.shape"], capsys)
    assert not [one for one in said if one not in text]


def test_without_letters_of_size_or_data_the_letter_of_the_loss_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ladder("params", "tokens", "L")
    assert answer(["fit", "a.shape"]) == 1
    assert "missing-column" in capsys.readouterr().err


def test_letters_of_other_things_are_no_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trainers.table(Path("a.csv"), [{"n": n, "d": 64, "l": 4, "loss": 3 / n} for n in range(1, 30)])
    assert answer(["frontier", "a.csv"]) == 1
    assert "no column of the number of parameters" in capsys.readouterr().err


def test_rows_that_may_be_ends_are_not_taken_for_curves_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice, pasted, fits every row as an end; a column of steps, or enough rows, tell that they are curves."""
    monkeypatch.chdir(tmp_path)
    ladder("params", "tokens", "loss")
    assert answer(["fit", "a.shape"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "unnamed-runs" in said
    advice = 'points: ends, run: "tokens"'
    assert advice in said
    text = Path("a.shape").read_text()
    Path("a.shape").write_text(text.replace("resamples: 0", f"resamples: 0, {advice}"))
    assert answer(["fit", "a.shape"]) == 0
    found = capsys.readouterr()
    assert "unnamed-runs" not in found.err
    assert "fitted to 32 points of 4 sizes" in " ".join(found.out.split())
    lines = Path("a.csv").read_text().splitlines()
    steps = [f"{line},{number % 8 + 1}00" for number, line in enumerate(lines[1:])]
    Path("a.csv").write_text("\n".join([lines[0] + ",step", *steps]) + "\n")
    Path("a.shape").write_text(text)
    assert answer(["fit", "a.shape"]) == 0
    assert "unnamed-runs" not in capsys.readouterr().err
