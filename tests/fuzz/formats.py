"""Targets in formats of their own: token files and what is tokenized, images, run folders, weights, tables."""

from __future__ import annotations

import functools
import gzip
import io
import json
import re
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import binary
import mutate
import shape_texts
from target import Change, Target

from shapeflow.cli import answer
from shapeflow.ir import plan_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

VIT = """\
model vit(depth: 1, width: 8, head_width: 8)
data {}
objective {}
axis patch in [4, 2] px via flexi_resize(base: 4 px)
stage (patch: 4 px) until 50%
stage (patch: 2 px) until end
budget 8 steps
checkpoint every 4 steps
"""
TEXT = """\
model transformer(depth: 1, width: 8, head_width: 8)
data tokens("t.bin", batch: 64 tokens)
objective next_token
axis context in [16] tokens via context_grow
stage (context: 16 tokens) until end
budget 2 steps
"""
LINES = b'{"text": "some text", "n": 1}\n{"text": "more", "n": [1]}\n' * 20
JSON: Change = functools.partial(mutate.of_json, seal=None)


def formats(folder: Path) -> list[Target]:
    """All targets of this file. `folder`: a folder to prepare files in."""
    return [
        *_tokens(folder),
        *_tokenized(folder),
        *_images(),
        *_runs(folder),
        *_foreign(folder),
        *_binary_logs(folder),
        *_tables(),
        *_model_tables(),
        *_seconds_tables(),
    ]


def read(folder: Path, *names: str) -> dict[str, bytes]:
    """The files at some paths in a folder, and all files below those that are folders."""
    paths = [path for name in names for path in (folder / name, *(folder / name).rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _tokens(folder: Path) -> list[Target]:
    (folder / "t.txt").write_text("some text to tokenize\n" * 50)
    answer(
        ["tokenize", str(folder / "t.txt"), "-o", str(folder / "t.bin"), "--tokenizer", "bytes", "--held-out", "20%"]
    )
    files = {**read(folder, "t.json", "t.bin"), "f.shape": TEXT.encode()}
    shows = (("show", "t.bin"), ("show", "t.bin", "--verify"), ("compile", "f.shape"))
    trains = (("run", "f.shape", "-o", "out", "--device", "cpu", "--quiet"),)
    return [
        *[Target("tokens", "t.json", JSON, files, shows)] * 4,
        *[Target("tokens", "t.bin", binary.of_bytes, files, shows)] * 2,
        Target("tokens", "t.bin", binary.of_bytes, files, trains, ("out",)),
    ]


def _tokenized(folder: Path) -> list[Target]:
    """What `tokenize` reads."""
    (folder / "saved").mkdir()
    sources: dict[str, tuple[bytes, Change]] = {
        "s.txt": (b"some text\n" * 20, binary.of_bytes),
        "s.jsonl": (LINES, mutate.of_lines),
        "s.jsonl.gz": (gzip.compress(LINES), binary.zipped(mutate.of_lines)),
        "s.tar": (_tar(), binary.of_tar),
        "s.tar.gz": (gzip.compress(_tar()), binary.zipped(binary.of_tar)),
        **_tables_of(folder),
    }
    made = ("o.bin", "o.json")
    found = [
        Target("tokenize", name, change, {name: content}, (_tokenize(name, "bytes"),), made)
        for name, (content, change) in sources.items()
    ]
    saved = {name: content for name, (content, _) in sources.items() if name.startswith("saved/")}
    names = [{"filename": f"{name}.arrow"} for name in ("data", "lz4")]
    state = json.dumps({"_data_files": names, "_split": None}).encode()
    found = [one for one in found if not one.mutated.startswith("saved/")]
    found += [
        Target("tokenize", name, change, {**saved, "saved/state.json": state}, (_tokenize("saved", "bytes"),), made)
        for name, change in (*((name, binary.of_bytes) for name in saved), ("saved/state.json", JSON))
        if saved
    ]
    if tokenizer := _tokenizer():
        files = {"tok.json": tokenizer, "s.txt": b"some text\n" * 20}
        found += [Target("tokenize", "tok.json", JSON, files, (_tokenize("s.txt", "tok.json"),), made)] * 2
    return found


def _tokenize(source: str, tokenizer: str) -> tuple[str, ...]:
    return ("tokenize", source, "-o", "o.bin", "--tokenizer", tokenizer, "--held-out", "10%")


def _tar() -> bytes:
    with tarfile.open(fileobj=(held := io.BytesIO()), mode="w", format=tarfile.PAX_FORMAT) as file:
        for name, content in {"0.txt": b"six", "0.jpg": b"\xff", "0.pkl": b"x", "é" * 60 + ".txt": b"seven"}.items():
            (about := tarfile.TarInfo(name)).size = len(content)
            file.addfile(about, io.BytesIO(content))
    return held.getvalue()


def _tables_of(folder: Path) -> dict[str, tuple[bytes, Change]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return {}
    table = pa.table({"text": ["four", None, "five"] * 5, "n": [1, 2, 3] * 5})
    pq.write_table(table, folder / "s.parquet")
    parquet = (folder / "s.parquet").read_bytes()
    return {
        "s.parquet": (parquet, binary.of_bytes),
        "saved/data.arrow": (_arrow(pa, table, None), binary.of_bytes),
        "saved/lz4.arrow": (_arrow(pa, table, "lz4"), binary.of_bytes),
    }


def _arrow(pa: Any, table: Any, compression: str | None) -> bytes:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(arrow := io.BytesIO(), table.schema, options=options) as stream:
        stream.write_table(table)
    return arrow.getvalue()


def _tokenizer() -> bytes | None:
    """A small `tokenizer.json`."""
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers
    except ImportError:
        return None
    alphabet = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE({**alphabet, "<|endoftext|>": len(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    return str(made.to_str()).encode()


def _images() -> list[Target]:
    text = VIT.format('image_folder("mine", classes: 2, image: 8 px, held_out: 50%, batch: 2)', "cross_entropy")
    files = {f"mine/{kind}/{number}.png": binary.png(9) for kind in "ab" for number in range(2)}
    trains = ("run", "f.shape", "-o", "out", "--device", "cpu", "--quiet", "--pause", "1")
    return [Target("images", "mine/a/0.png", binary.of_png, {**files, "f.shape": text.encode()}, (trains,), ("out",))]


def _runs(folder: Path) -> list[Target]:
    """A run that was paused, its checkpoints, and the weights that it exports."""
    text = VIT.format("digits(batch: 8)", "cross_entropy")
    (folder / "f.shape").write_text(text)
    run = str(folder / "run")
    answer(["run", str(folder / "f.shape"), "-o", run, "--device", "cpu", "--pause", "6"])
    answer(["export", run, "-o", str(folder / "w.safetensors"), "--unfinished"])
    files = read(folder, "f.shape", "run")
    exports = (("export", "run", "-o", "o.safetensors", "--unfinished"),)
    resumes = (("run", "f.shape", "-o", "run", "--device", "cpu", "--quiet", "--resume"),)
    newest = max(name for name in files if name.endswith("/state.json")).rpartition("/")[0]
    tensors = sorted(name for name in files if name.startswith(newest) and name.endswith(".safetensors"))
    held = [(f"{newest}/state.json", JSON), *((name, binary.of_safetensors) for name in tensors)]
    plan: Change = functools.partial(mutate.of_json, seal=plan_json.SEAL)
    logged = [("run/events.jsonl", mutate.of_lines), ("run/data.json", JSON), ("run/run.json", JSON)]
    logged.append(("run/plan.json", plan))
    branches = (("run", "f.shape", "-o", "out", "--from", "run@4", "--device", "cpu", "--quiet"),)
    earlier = [(name.replace("000006", "000004"), change) for name, change in held]
    taught = VIT.format("digits(batch: 8)", 'distill(teacher: "w.safetensors")').encode()
    weights = {**read(folder, "w.safetensors"), "f.shape": taught}
    compiles = (("compile", "f.shape"),)
    return [
        *_of("checkpoint", held, files, exports, ("o.safetensors",)),
        *_of("resume", [*held, *logged], files, resumes, fresh=True),
        *_of("branch", [*earlier, *logged], files, branches, ("out",)),
        *_of("run", logged, files, (("show", "run"), ("doctor", "run"), ("show", "run", "--json"))),
        Target("weights", "w.safetensors", binary.of_safetensors, weights, compiles),
    ]


def _foreign(folder: Path) -> list[Target]:
    """Models of other libraries, which are imported or named in a `.shape` file."""
    import foreign_models as models

    models.save(folder / "hf", models.LLAMA, models.TENSORS)
    models.save(folder / "vit", models.VIT, models.VIT_TENSORS, "F32")
    text = """
    model transformer(depth: 2, width: 16, heads: 4, kv_ratio: 2, mlp_ratio: 2.5, rope_base: 5e5, norm_eps: 1e-5)
    data python_source(batch: 64 tokens)
    objective next_token
    axis context in [16] tokens via context_grow
    stage (context: 16 tokens) until end
    start from "hf"
    budget 2 steps
    """
    made = ("o.safetensors",)
    files = {name: {**read(folder, name), "f.shape": text.encode()} for name in ("hf", "vit")}
    commands = {name: [("import", name, "-o", "o.safetensors")] for name in files}
    commands["hf"].append(("compile", "f.shape"))
    return [
        Target("import", f"{name}/{mutated}", change, files[name], tuple(commands[name]), made)
        for name in files
        for mutated, change in (("config.json", JSON), ("model.safetensors", binary.of_safetensors))
    ]


def _of(
    kind: str,
    changes: list[tuple[str, Change]],
    files: Mapping[str, bytes],
    commands: tuple[tuple[str, ...], ...],
    made: tuple[str, ...] = (),
    fresh: bool = False,
) -> list[Target]:
    return [Target(kind, name, change, files, commands, made, fresh) for name, change in changes]


def _binary_logs(folder: Path) -> list[Target]:
    """Logs that are not text, and those that are one JSON value."""
    import log_files

    rows = [{"step": 10 * i, "width": 64, "flops": 1e15 * i, "loss": 2 + 5 / i} for i in range(1, 20)]
    state = log_files.trainer_state(folder / "trainer_state.json", rows).read_bytes()
    looks = (("doctor", "{}"),)
    found: list[tuple[str, bytes, Change]] = [("trainer_state.json", state, JSON)]
    try:
        found.append(("l.parquet", log_files.parquet(folder / "l.parquet", rows).read_bytes(), binary.of_bytes))
        name = "events.out.tfevents.1.x.0"
        content = log_files.events(folder / name, rows).read_bytes()
        found += [(name, content, binary.records(_payloads(content)))] * 2
    except ImportError:
        pass
    return [
        Target("other-log", name, change, {name: content}, tuple((word, name) for word, _ in looks))
        for name, content, change in found
    ]


def _payloads(content: bytes) -> list[bytes]:
    """The data of the records of a TFRecord file."""
    found, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        found.append(content[at + 12 : at + 12 + size])
        at += 16 + size
    return found


def _tables() -> list[Target]:
    """Tables of finished runs, for laws of size and tokens, and for exponents."""
    draw = Random(0)
    sizes = [10**6 * 2**i for i in range(6)]
    rows = [(n, n * t, 1.7 + 400 * n**-0.34 + 410 * (n * t) ** -0.28) for n in sizes for t in (2, 5, 20, 60)]
    table = "params,tokens,loss\n" + "".join(f"{n},{d},{loss * (1 + draw.gauss(0, 1e-3)):.5f}\n" for n, d, loss in rows)
    frontier = (("frontier", "t.csv", "--resamples", "3"), ("frontier", "t.csv", "--resamples", "0", "--json"))
    steps = [round(2 * 1.15**i) for i in range(45)]
    curves = [(w, s, w * s, w**-0.7 + s**-0.7) for w in (4, 8, 16, 32, 64) for s in steps]
    widths = "width,step,flops,loss\n" + "".join(f"{w},{s},{f},{loss:.6f}\n" for w, s, f, loss in curves)
    scheduled = (
        ("frontier", "f.shape", "--budget", "3 FLOPs", "--budget", "50 FLOPs"),
        ("frontier", "f.shape", "--json"),
    )
    laws = (ROOT / "examples/laws_only.shape").read_bytes()
    ends = (("doctor", "r.csv"), ("frontier", "r.csv", "--resamples", "3"))
    return [
        Target("frontier", "t.csv", mutate.of_text, {"t.csv": table.encode()}, frontier),
        Target("frontier", "f.shape", _of_shape, {"f.shape": laws}, scheduled),
        Target("frontier", "r.csv", mutate.of_text, {"r.csv": _run_table(rows)}, ends),
        Target("exponents", "w.csv", mutate.of_text, {"w.csv": widths.encode()}, (("phases", "--fit", "w.csv"),)),
    ]


def _model_tables() -> list[Target]:
    """The table of a model of one's own, compiled for three shapes."""
    source = ROOT / "examples/trainers/own_gpt.shape"
    files = {"f.shape": source.read_bytes(), "own_gpt.toml": source.with_suffix(".toml").read_bytes()}
    compiles = (("compile", "f.shape", "-o", "made.json"),)
    return [
        Target("model-table", "own_gpt.toml", mutate.of_text, files, compiles, ("made.json",)),
        Target("model-table", "f.shape", _of_shape, files, compiles, ("made.json",)),
    ]


def _seconds_tables() -> list[Target]:
    """Stated seconds of steps, of which one candidate is left out."""
    text = (ROOT / "examples/digits_seconds.shape").read_text()
    shape = re.sub(r'profile +from "[^"]*"', 'profile from "s.csv"', text).encode()
    table = b"width,seconds per step,devices\n16,0.0021,1\n32,0.0034,1\n48,0.005,1\n64,0.0081,1\n"
    files = {**read(ROOT / "examples", "laws", "credits"), "f.shape": shape, "s.csv": table}
    compiles = (("compile", "f.shape", "-o", "made.json"),)
    return [Target("seconds-table", "s.csv", mutate.of_text, files, compiles, ("made.json",))]


def _run_table(rows: list[tuple[int, int, float]]) -> bytes:
    """The table of finished and crashed runs that W&B exports, with sizes as text and a column of notes."""
    head = '"Name","State","Notes","Created","Runtime","params","tokens","eval/loss"\n'
    lines = [
        f'"run-{n}-{d}","{"crashed" if i == 3 else "finished"}","-","2025-01-0{1 + i % 9}T00:00:00.000Z",'
        f'"{60 * i + 1}","{n}","{d}","{loss:.5f}"\n'
        for i, (n, d, loss) in enumerate(rows)
    ]
    return (head + "".join(lines)).encode()


def _of_shape(source: bytes, draw: Random) -> bytes:
    return shape_texts.change(source.decode(), draw, [source.decode()]).encode("utf-8", "surrogatepass")
