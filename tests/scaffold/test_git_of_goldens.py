"""What real git makes of goldens with the ``.gitattributes`` that ``goldtrace init`` writes."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from laid_down import git

from goldtrace.model.fields import encode_scalar
from goldtrace.model.gzipped import compress, decompress
from goldtrace.model.scalar import Scalar
from goldtrace.model.sealed import to_line
from goldtrace.model.tape_codec import decode_tape, encode_tape
from goldtrace.report.golden_text import as_text
from goldtrace.scaffold.change import Action
from goldtrace.scaffold.git import DIFF_DRIVER, attributes

GOLDEN = Path(__file__).parents[2] / "golden" / "transformer"
PLACE = "golden/transformer/cpu-portable"


@pytest.fixture
def committed(repository, goldtrace, monkeypatch) -> Path:
    """A repository after init, with a golden and the diff driver that init tells of."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    shutil.copytree(GOLDEN, repository / "golden" / "transformer")
    assert goldtrace("init")[0] == 0
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "first golden")
    subprocess.run(shlex.split(DIFF_DRIVER), cwd=repository, check=True)
    return repository


def test_git_diff_shows_the_number_that_moved(committed):
    steps = committed / PLACE / "steps.jsonl"
    text = steps.read_text()
    found = re.findall(r'("loss":\[([-.0-9]+),"([^"]+)")', text)
    before, number, exact = found[1]
    assert text.count(before) == 1
    steps.write_text(text.replace(before, '"loss":[3.5,"0x1.c000000000000p+1"'))
    shown = git(committed, "diff", "--unified=0").splitlines()
    assert [line for line in shown if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        f"-step 1  loss  {number}  {exact}",
        "+step 1  loss  3.5  0x1.c000000000000p+1",
    ]


def test_git_diff_shows_the_operator_that_changed_in_a_compressed_tape(committed):
    path = committed / PLACE / "tape.jsonl.gz"
    lines = decompress(path.read_bytes(), where="tape").splitlines()
    first, *others = decode_tape(map(json.loads, lines), where="tape")
    drop = next(call for call in first.calls if call.op == "aten::bernoulli_.float")
    calls = tuple(replace(c, arguments={"p": "0.8"}) if c is drop else c for c in first.calls)
    changed = encode_tape([replace(first, calls=calls), *others])
    path.write_bytes(compress(b"".join(map(to_line, changed))))
    shown = git(committed, "diff", "--unified=0")
    (removed,) = (line for line in shown.splitlines() if line.startswith("-step"))
    (added,) = (line for line in shown.splitlines() if line.startswith("+step"))
    assert removed.startswith("-step 0  forward  aten::bernoulli_.float  p=0.9  → ")
    assert added == removed.replace("-step", "+step").replace("p=0.9", "p=0.8")


def test_git_diff_shows_the_tensors_that_moved(committed):
    path = committed / PLACE / "tensors.jsonl.gz"
    lines = decompress(path.read_bytes(), where="tensors")
    moved = json.loads(lines.splitlines()[0])["tensors"]["weights"]["norm.weight"].encode()
    widened = lines.replace(b'"norm.weight":"float32[72]', b'"norm.weight":"float32[73]')
    path.write_bytes(compress(widened.replace(moved, b"0" * 32, 1)))
    shown = git(committed, "diff", "--unified=0").splitlines()
    assert [line for line in shown if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-start  structure  norm.weight  float32[72] trainable group1",
        "+start  structure  norm.weight  float32[73] trainable group1",
        f"-start  weights  norm.weight  {moved[:12].decode()}",
        f"+start  weights  norm.weight  {'0' * 12}",
    ]


def test_git_converts_no_line_ending_and_merges_no_golden(committed):
    told = git(
        committed,
        *("check-attr", "text", "merge", "linguist-generated", "diff", "--"),
        f"{PLACE}/steps.jsonl",
        "golden/transformer/run.toml",
    ).splitlines()
    steps, declared = told[:4], told[4:]
    assert [line.rpartition(" ")[2] for line in steps] == ["unset", "unset", "set", "goldtrace"]
    assert {line.rpartition(" ")[2] for line in declared} == {"unspecified"}
    (removals,) = git(committed, "check-attr", "text", "--", "golden/removed.jsonl").splitlines()
    assert removals.endswith(": unset")


def test_a_golden_survives_a_checkout_that_converts_line_endings(committed):
    git(committed, "config", "core.autocrlf", "true")
    shutil.rmtree(committed / "golden")
    git(committed, "checkout", "--", "golden")
    for path in sorted((GOLDEN / "cpu-portable").iterdir()):
        assert (committed / PLACE / path.name).read_bytes() == path.read_bytes()


def test_two_branches_that_moved_a_golden_conflict_and_leave_it_whole(committed):
    steps = committed / PLACE / "steps.jsonl"
    whole = steps.read_bytes()
    lines = whole.splitlines(keepends=True)
    git(committed, "checkout", "--quiet", "-b", "other")
    steps.write_bytes(b"".join([*lines[:-1], b'{"other":1}\n']))
    git(committed, "commit", "--quiet", "--all", "--message", "other")
    git(committed, "checkout", "--quiet", "main")
    ours = b"".join([b'{"ours":1}\n', *lines[1:]])
    steps.write_bytes(ours)
    git(committed, "commit", "--quiet", "--all", "--message", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(committed, "merge", "other")
    assert steps.read_bytes() == ours


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<<<<<<< ours\n{}\n",
        b'{"step":0}\n',
        b'{"step":0,"scalars":{"loss":3}}\n{"end":{"metrics":{},"final":{}}}\n',
        b'{"step":' + b"[" * 100_000,
        b"\x1f\x8b\x08\x00 damaged",
        b'{\n "schema": 1\n}\n',
        b"\xff\xfe not UTF-8",
    ],
)
def test_what_cannot_be_read_as_steps_or_tape_is_shown_as_it_is(content):
    assert as_text(content) == content


def test_a_name_steers_no_terminal_and_breaks_no_line():
    scalars = {"a\x1b[31m\nb": Scalar.of(1.0), "n": Scalar.of(math.nan), "z": Scalar.of(-0.0)}
    encoded = {name: encode_scalar(scalar) for name, scalar in scalars.items()}
    lines = [{"step": 0, "scalars": encoded}, {"end": {"metrics": {}, "final": {}}}]
    shown = as_text(b"".join(to_line(line) for line in lines)).decode()
    assert shown.splitlines() == [
        "step 0  a\\x1b[31m\\nb  1  0x1.0000000000000p+0",
        "step 0  n  nan  nan:7ff8000000000000",
        "step 0  z  -0  -0x0.0p+0",
    ]


def test_the_command_wants_one_file(goldtrace, tmp_path):
    status, _, error = goldtrace("diff", "--textconv", "a", "b")
    assert status == 2
    assert "--textconv and one file" in error
    status, _, error = goldtrace("diff", "only-one")
    assert status == 2
    assert "expected: two directories of traces" in error
    status, _, error = goldtrace("diff", "--textconv", tmp_path / "absent")
    assert status == 2
    assert "absent" in error


def test_this_repository_has_what_init_would_write():
    assert attributes(GOLDEN.parents[1], "golden").action is Action.UNCHANGED
