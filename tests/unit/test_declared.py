from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldtrace.errors import ExitCode, SpecError
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.model.tolerance import Tolerance
from goldtrace.store.declared import discover, load_run, spec_of_test

ENTRY = 'entry = "package.training:train"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def declare(text: str | bytes, *, run: str = "x") -> Path:
    path = Path("golden") / run / "run.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def failure(text: str | bytes, *, run: str = "x") -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_run(declare(text, run=run))
    return caught.value


def test_an_entry_point_is_all_that_a_run_needs() -> None:
    assert load_run(declare(ENTRY)) == RunSpec(name="x", entry="package.training:train")


def test_every_key_reaches_the_spec() -> None:
    text = (
        ENTRY
        + """
seed = 20
devices = ["cuda", "cpu"]
profile = "cpu-native"
warn_only = true
exact = true
tape = [3, 0]

[config]
width = 72
layers = [{ heads = 3 }, { heads = 2.5 }]
norm = inf

[tolerance]
loss = { rtol = 1e-5, atol = 0 }
"*" = { rtol = 0.5 }
"""
    )
    assert load_run(declare(text, run="my-run[a]")) == RunSpec(
        name="my-run[a]",
        entry="package.training:train",
        kind=RunKind.DECLARED,
        seed=20,
        devices=("cuda", "cpu"),
        profile="cpu-native",
        warn_only=True,
        exact=True,
        tape=(0, 3),
        config={"width": 72, "layers": [{"heads": 3}, {"heads": 2.5}], "norm": float("inf")},
        tolerance={"loss": Tolerance(rtol=1e-5), "*": Tolerance(rtol=0.5)},
    )


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("seed = 1\n", 1, "entry"),
        ("", 1, "entry"),
        ("entry = 3\n", 1, "entry"),
        ('entry = "training.py"\n', 1, "entry"),
        ('entry = "package:"\n', 1, "entry"),
        ('entry = "../escape:train"\n', 1, "entry"),
        (ENTRY + "\n# seeds\nseed = -1\n", 4, "seed"),
        (ENTRY + "seed = 9223372036854775808\n", 2, "seed"),
        (ENTRY + "seed = true\n", 2, "seed"),
        (ENTRY + "seed = 1.0\n", 2, "seed"),
        (ENTRY + 'devices = "cpu"\n', 2, "devices"),
        (ENTRY + "devices = []\n", 2, "devices"),
        (ENTRY + 'devices = [\n  "cpu",\n  "tpu",\n]\n', 2, "devices"),
        (ENTRY + 'devices = ["cpu", "cpu"]\n', 2, "devices"),
        (ENTRY + 'devices = [["cpu"]]\n', 2, "devices"),
        (ENTRY + "profile = 1\n", 2, "profile"),
        (ENTRY + 'profile = "fast"\n', 2, "profile"),
        (ENTRY + "warn_only = 1\n", 2, "warn_only"),
        (ENTRY + 'exact = "yes"\n', 2, "exact"),
        (ENTRY + "tape = 3\n", 2, "tape"),
        (ENTRY + "tape = [0, -1]\n", 2, "tape"),
        (ENTRY + "tape = [true]\n", 2, "tape"),
        (ENTRY + "config = 3\n", 2, "config"),
        (ENTRY + "[config]\na = 1\nb = 2026-01-02\n", 4, "config.b"),
        (ENTRY + "[config.deep]\na = [{ b = 07:30:00 }]\n", 3, "config.deep.a.b"),
        (ENTRY + "[tolerance]\nloss = 1e-5\n", 3, "tolerance.loss"),
        (ENTRY + "[tolerance]\nloss = {}\n", 3, "tolerance.loss"),
        (ENTRY + "[tolerance]\nloss = { rtol = -1 }\n", 3, "tolerance.loss.rtol"),
        (ENTRY + "[tolerance]\nloss = { atol = nan }\n", 3, "tolerance.loss.atol"),
        (ENTRY + "[tolerance]\nloss = { atol = inf }\n", 3, "tolerance.loss.atol"),
        (ENTRY + "[tolerance]\nloss = { rtol = true }\n", 3, "tolerance.loss.rtol"),
        (ENTRY + '[tolerance]\n"a b".rtol = "x"\n', 3, "tolerance.'a b'.rtol"),
        (ENTRY + "[tolerance.loss]\natol = 0\n\nrtol = -0.5\n", 5, "tolerance.loss.rtol"),
        (ENTRY + "[[tolerance]]\nrtol = 1\n", 2, "tolerance"),
    ],
)
def test_a_wrong_value_is_named_with_file_and_line(text: str, line: int, key: str) -> None:
    error = failure(text)
    assert error.where == f"golden/x/run.toml:{line}"
    assert key in error.what
    assert error.expected
    assert error.found
    assert error.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        (ENTRY + "sede = 3\n", 2, "sede", "did you mean seed?"),
        (ENTRY + 'device = ["cpu"]\n', 2, "device", "did you mean devices?"),
        (
            ENTRY + "\n[tolerances]\nloss = { rtol = 1 }\n",
            3,
            "tolerances",
            "did you mean tolerance?",
        ),
        (ENTRY + "epochs = 3\n", 2, "epochs", "settings of your own belong into [config]"),
        (
            ENTRY + "[tolerance]\nloss = { rtoll = 1 }\n",
            3,
            "tolerance.loss.rtoll",
            "did you mean rtol?",
        ),
    ],
)
def test_an_unknown_key_is_named_with_what_was_probably_meant(
    text: str, line: int, key: str, hint: str
) -> None:
    error = failure(text)
    assert error.where == f"golden/x/run.toml:{line}"
    assert error.what == f"unknown key {key}"
    assert error.hint == hint


def test_an_unknown_device_comes_with_what_was_probably_meant() -> None:
    assert failure(ENTRY + 'devices = ["gpu", "cud"]\n').found == "'gpu'"
    assert failure(ENTRY + 'devices = ["cud"]\n', run="y").hint == 'did you mean "cuda"?'


def test_an_unknown_profile_comes_with_what_was_probably_meant() -> None:
    assert (
        failure(ENTRY + 'profile = "cpu"\n').expected
        == "cpu-portable or cpu-native or universal or cuda"
    )
    text = ENTRY + 'profile = "cpu_portable"\n'
    assert failure(text, run="y").hint == 'did you mean "cpu-portable"?'


def test_keys_inside_text_and_lists_do_not_mislead_the_line() -> None:
    text = (
        ENTRY
        + """
[config]
text = \"\"\"
seed = 5
[tolerance]
\"\"\"
list = [ # seed = 6
  "tape = 7", # ]
]
raw = '''
exact = 1'''

[tolerance]
loss.rtol = -1
"""
    )
    error = failure(text)
    assert error.where == "golden/x/run.toml:15"


def test_windows_line_endings_count_as_lines() -> None:
    assert failure(ENTRY.replace("\n", "\r\n") + "\r\nseed = -1\r\n").where == "golden/x/run.toml:3"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ENTRY + "seed = \n", 2),
        (ENTRY + "seed = 1\nseed = 2\n", 3),
        (ENTRY + "\n[config\n", 3),
        (ENTRY + 'name = "never closed', 2),
        (ENTRY + "a = [1,\n2,\n", 3),
        ("\ufeff" + ENTRY, 1),
    ],
)
def test_a_syntax_error_is_shown_with_its_line(text: str, line: int) -> None:
    error = failure(text)
    assert error.what == "this is not TOML"
    assert error.where == f"golden/x/run.toml:{line}"
    assert error.found
    assert "line" not in error.found


@pytest.mark.parametrize("text", [b"entry = \xff\n", b"\x00"])
def test_a_file_that_is_not_text_is_an_error(text: bytes) -> None:
    assert "golden/x/run.toml" in (failure(text).where or "")


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    Path("golden/x/run.toml").mkdir(parents=True)
    with pytest.raises(SpecError, match="cannot be read"):
        load_run(Path("golden/x/run.toml"))


@pytest.mark.parametrize("run", ["a run", "-x", "a:b", "caf\u00e9", "x" * 201])
def test_a_directory_that_no_run_can_be_named_after_is_an_error(run: str) -> None:
    error = failure(ENTRY, run=run)
    assert error.found == ascii(run)


def test_a_path_outside_the_current_directory_is_shown_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare("seed = 1\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(SpecError) as caught:
        load_run(tmp_path / "golden/x/run.toml")
    assert caught.value.where == f"{tmp_path}/golden/x/run.toml:1"


def test_discover_lists_the_declared_runs_in_order() -> None:
    for run in ("b", "a", ".a.next"):
        declare(ENTRY, run=run)
    (Path("golden") / "of-a-test" / "cpu-portable").mkdir(parents=True)
    (Path("golden") / "README.md").touch()
    assert discover(Path("golden")) == [Path("golden/a/run.toml"), Path("golden/b/run.toml")]


def test_discover_finds_nothing_where_nothing_is() -> None:
    assert discover(Path("golden")) == []


def test_a_marker_takes_what_a_declaration_takes_and_tuples() -> None:
    arguments = {
        "seed": 3,
        "devices": ("cpu", "cuda"),
        "config": {"betas": (0.9, 0.98), "scheduler": None},
        "tolerance": {"*": {"atol": 1}},
    }
    spec = spec_of_test("test_a", "test_a.py::test_a", arguments, where="test_a.py::test_a")
    assert spec == RunSpec(
        name="test_a",
        entry="test_a.py::test_a",
        kind=RunKind.TEST,
        seed=3,
        devices=("cpu", "cuda"),
        config={"betas": (0.9, 0.98), "scheduler": None},
        tolerance={"*": Tolerance(atol=1.0)},
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"entry": "a:b"}, "unknown key entry"),
        ({"sed": 1}, "unknown key sed"),
        ({"seed": "1"}, "seed has a value"),
        ({"config": {"model": object()}}, "config.model has a value"),
        ({"config": {1: 2}}, "config has a value"),
        ({"tolerance": {"loss": 1e-5}}, "tolerance.loss has a value"),
    ],
)
def test_a_wrong_argument_of_a_marker_names_the_test(arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of_test("test_a", "test_a.py::test_a", arguments, where="test_a.py::test_a")
    assert caught.value.where == "test_a.py::test_a"
    assert what in caught.value.what
