"""The ``golden`` marker, devices, and the names of goldens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goldtrace.session.identity import golden_name
from goldtrace.store.names import is_name

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("tests/test_a.py::test_x", "tests.test_a--test_x"),
        ("test_a.py::TestB::test_x[adam-0.1]", "test_a--TestB--test_x[adam-0.1]"),
    ],
)
def test_a_golden_is_named_after_its_test(origin: str, name: str) -> None:
    assert golden_name(origin) == name


def test_different_tests_have_different_goldens() -> None:
    origins = [
        "a/b/test.py::test_x",
        "a.b/test.py::test_x",
        "a/b.test.py::test_x",
        "a--b/test.py::test_x",
        "a/test/T.py::t",
        "a/test.py::T::t",
        "test.py::test_x[a/b]",
        "test.py::test_x[a_b]",
        "test.py::test_x[a::b]",
        "test.py::test_x[a--b]",
        "test.py::test_x[../../etc]",
        "test.py::test_x[\\udc80]",
        "test.py::test_\u00e4",
        "test.py::test_" + "x" * 300,
        "test.py::test_" + "x" * 301,
        ".hidden/test.py::test_x",
        "test.pyx::test_x",
    ]
    names = [golden_name(origin) for origin in origins]
    assert len(set(names)) == len(origins)
    assert all(is_name(name) for name in names)


def test_the_marker_decides_how_the_run_is_made(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_marker.py",
        """
import random, pytest
pytestmark = pytest.mark.golden(seed=5, config={"width": 3})

@pytest.mark.golden(seed=7)
def test_closest_wins(golden_run):
    assert (golden_run.seed, golden_run.device) == (7, "cpu")
    assert golden_run.config == {"width": 3}
    assert random.random() == random.Random(7).random()
    golden_run.step(loss=1.0)

@pytest.fixture
def built_before(): return random.random()

@pytest.fixture(scope="module")
def shared(): return random.random()

def test_fixtures_are_seeded(built_before, golden_run):
    assert built_before == random.Random(5).random()
    golden_run.step(loss=1.0)

def test_sharing_does_not_shift_the_stream(shared, golden_run):
    golden_run.step(loss=random.random())

def test_sharing_does_not_shift_the_stream_of_others(shared, golden_run):
    golden_run.step(loss=random.random())
""",
    )
    project.run("--golden-update").assert_outcomes(passed=4)
    project.run("-k", "of_others").assert_outcomes(passed=1, deselected=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sede=1", "unknown key sede"),
        ("seed='1'", "seed has a value that it cannot have"),
        ("devices='cuda'", "devices has a value"),
        ("tolerance={'loss': 1e-3}", "tolerance.loss has a value"),
        ("profile='fast'", "fast"),
        ("1", "takes arguments by name only"),
    ],
)
def test_a_marker_that_makes_no_sense_stops_the_session(
    project: Project, arguments: str, message: str
) -> None:
    project.write(
        "test_marker.py",
        f"import pytest\n@pytest.mark.golden({arguments})\ndef test_it(golden_run): pass\n",
    )
    result = project.run()
    text = result.stdout.str()
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert message in text
    assert "ERROR collecting test_marker.py" in text
    assert "test_marker.py::test_it: " in text
    assert "Traceback" not in text


def test_two_tests_with_one_golden_are_refused(project: Project) -> None:
    project.without_torch(
        """
import pytest
@pytest.hookimpl(trylast=True)
def pytest_itemcollected(item):
    if item.name == "test_other":
        item.__class__ = Twin

class Twin(pytest.Function):
    @property
    def nodeid(self): return "test_twins.py::test_one"
"""
    )
    project.write(
        "test_twins.py", "def test_one(golden_run): pass\ndef test_other(golden_run): pass\n"
    )
    for extra in ((), ("-n1",)):
        project.load_all_plugins()
        result = project.run(*extra)
        assert result.ret == pytest.ExitCode.INTERRUPTED if not extra else 1
        result.stdout.fnmatch_lines(
            [
                "*two golden tests share the golden 'test_twins--test_one'*",
                "*one: *test_twins.py:1)",
                "*other: *test_twins.py:2)",
            ]
        )


DEVICES = """
import pytest

@pytest.mark.golden(devices=("cpu", "cuda"))
@pytest.mark.parametrize("size", [1, 2])
def test_both(golden_run, size): golden_run.step(loss=float(size))

@pytest.mark.golden(devices=("cuda",))
def test_gpu(golden_run): golden_run.step(loss=1.0)

def test_cpu(golden_run): golden_run.step(loss=1.0)
"""


def test_tests_run_on_the_devices_that_they_and_the_session_name(project: Project) -> None:
    project.without_torch()
    project.write("test_devices.py", DEVICES)
    on_cpu = project.run("--golden-update", "-rs", "-v")
    on_cpu.assert_outcomes(passed=3, skipped=1)
    on_cpu.stdout.fnmatch_lines(["*test_both[[]1[]] PASSED*", "*needs --golden-device cuda*"])
    names = {path.split("/")[0] for path in project.goldens()}
    assert names == {
        "test_devices--test_both[1]",
        "test_devices--test_both[2]",
        "test_devices--test_cpu",
    }
    both = project.run("--golden-device=cpu,cuda", "-rs", "-v")
    both.assert_outcomes(passed=3, skipped=3)
    both.stdout.fnmatch_lines(
        [
            "*test_both[[]1-cpu[]] PASSED*",
            "*test_both[[]1-cuda[]] SKIPPED*",
            "*no CUDA device is available; next: choose another runner*",
        ]
    )
    strict = project.run("--golden-device=cuda", "--golden-strict")
    strict.assert_outcomes(skipped=1, failed=0, errors=3)
