"""Golden tests run in a child, and the session looks as if they had run in it."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from project import Project

pytest_plugins = ["pytester"]

SCOPES = """
import os, pytest
events = open(os.environ["EVENTS"], "a", buffering=1)
GOLDEN_CHILD = bool(os.environ.get("ATEN_CPU_CAPABILITY"))

def note(text):
    events.write(f"{'child' if GOLDEN_CHILD else 'here'} {text}\\n")

@pytest.fixture(scope="session")
def whole():
    note("session up"); yield; note("session down")

@pytest.fixture(scope="module")
def part(whole, request):
    note(f"{request.module.__name__} up"); yield; note(f"{request.module.__name__} down")
    if request.config.getoption("--break-teardown"):
        raise RuntimeError(f"teardown of {request.module.__name__}")

def pytest_addoption(parser):
    parser.addoption("--break-teardown", action="store_true")
"""

FIRST = """
def test_golden_a(golden_run, part): golden_run.step(loss=1.0)
def test_plain_a(part): pass
def test_golden_b(golden_run, part): golden_run.step(loss=1.0)
def test_plain_b(part): pass
"""

SECOND = """
def test_plain_c(part): pass
def test_golden_c(golden_run, part): golden_run.step(loss=1.0)
"""


@pytest.fixture
def scoped(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.without_torch(SCOPES)
    project.write("test_first.py", FIRST)
    project.write("test_second.py", SECOND)
    monkeypatch.setenv("EVENTS", str(project.path / "events"))
    assert project.run("--golden-update").ret == 0
    (project.path / "events").unlink()
    return project


def events(project: Project) -> list[str]:
    return (project.path / "events").read_text(encoding="utf-8").splitlines()


def test_fixtures_live_as_long_as_in_one_process(scoped: Project) -> None:
    result = scoped.run("-v")
    result.assert_outcomes(passed=6)
    assert [e for e in events(scoped) if e.startswith("child")] == [
        "child session up",
        "child test_first up",
        "child test_first down",
        "child test_second up",
        "child test_second down",
        "child session down",
    ]
    assert [e for e in events(scoped) if e.startswith("here")] == [
        "here session up",
        "here test_first up",
        "here test_first down",
        "here test_second up",
        "here test_second down",
        "here session down",
    ]
    # The child's fixtures of the first module went when the last, plain test of the module had run.
    both = events(scoped)
    assert both.index("child test_first down") < both.index("here test_second up")


def test_an_error_in_the_teardown_of_a_module_belongs_to_its_last_test(scoped: Project) -> None:
    result = scoped.run("-v", "--break-teardown")
    result.assert_outcomes(passed=6, errors=2)
    text = result.stdout.str()
    # test_plain_b ends the module here and in the child; both errors are in its report.
    assert "ERROR at teardown of test_plain_b" in text
    assert "ERROR at teardown of test_golden_c" in text
    assert text.count("RuntimeError: teardown of test_first") == 2


def junit_cases(path: Path) -> list[ET.Element]:
    return list(ET.parse(path).iter("testcase"))  # noqa: S314 - pytest wrote it


ALL_OUTCOMES = """
import os, sys, warnings
import pytest

def test_plain_passes(): pass

def test_passes(golden_run, record_property):
    record_property("answer", 42)
    golden_run.step(loss=1.0)

class TestGroup:
    @pytest.mark.parametrize("loss", [1.0, 2.0])
    def test_in_class(self, golden_run, loss):
        golden_run.step(loss=loss)

def test_body_fails(golden_run):
    golden_run.step(loss=1.0)
    print("printed by the body")
    local_value = [1, 2, 3]
    assert local_value == [1, 2, 4]

@pytest.fixture
def broken(): raise RuntimeError("a broken fixture")

def test_fixture_fails(golden_run, broken): pass

@pytest.fixture
def leaky():
    yield
    raise RuntimeError("a broken teardown")

def test_teardown_fails(golden_run, leaky): golden_run.step(loss=1.0)

@pytest.mark.skip(reason="by mark")
def test_skipped(golden_run): pass

def test_skips_itself(golden_run): pytest.skip("by itself")

@pytest.mark.xfail(reason="known")
def test_expected_failure(golden_run):
    golden_run.step(loss=1.0)
    assert False

@pytest.mark.xfail(strict=True)
def test_unexpected_pass(golden_run): golden_run.step(loss=1.0)

def test_warns(golden_run):
    warnings.warn("look out", DeprecationWarning)
    golden_run.step(loss=1.0)

def test_without_a_step(golden_run): pass

def test_exits(golden_run): sys.exit(7)

def test_missing(golden_run): golden_run.step(loss=1.0)

def test_stops(golden_run): breakpoint()

@pytest.fixture
def asks_late(request): return request.getfixturevalue("golden_run")

def test_asks_late(asks_late): pass
"""


@pytest.fixture
def outcomes(project: Project) -> Project:
    project.without_torch()
    project.write("test_all.py", ALL_OUTCOMES)
    project.run("--golden-update", "-k", "not missing")
    project.run("--golden-update", "-k", "unexpected", "--runxfail")
    return project


def test_every_outcome_looks_as_in_one_process(outcomes: Project) -> None:
    result = outcomes.run("-v", "-l", "-rA", "--junitxml=junit.xml", "--durations=3", "--color=no")
    result.assert_outcomes(passed=5, failed=7, errors=3, skipped=2, xfailed=1, warnings=1)
    text = result.stdout.str()
    # assertion rewriting, local variables and captured output of the child
    for fragment in (
        "assert [1, 2, 3] == [1, 2, 4]",
        "At index 2 diff: 3 != 4",
        "local_value = [1, 2, 3]",
        "printed by the body",
        "RuntimeError: a broken fixture",
        "ERROR at setup of test_fixture_fails",
        "ERROR at teardown of test_teardown_fails",
        "[XPASS(strict)]",
        "SystemExit: 7",
        "test_all.py:48: DeprecationWarning: look out",
        "SKIPPED [1] test_all.py:37: by itself",
        "SKIPPED [1] test_all.py:34: by mark",
        "the run recorded no step",
        "pytest --golden-in-process --pdb",
        "slowest 3 durations",
        "golden_run was asked for while the test was running",
    ):
        assert fragment in text, fragment
    # what goldtrace has to say has no traceback
    assert "runner.py" not in text
    cases = {case.get("name"): case for case in junit_cases(outcomes.path / "junit.xml")}
    assert len(cases) == 17
    assert cases["test_passes"].find("properties/property").get("value") == "42"  # type: ignore[union-attr]
    assert "no golden" in cases["test_missing"].find("failure").text  # type: ignore[union-attr, operator]


def test_selection_works_on_golden_tests(outcomes: Project) -> None:
    chosen = outcomes.run("-k", "in_class or plain")
    chosen.assert_outcomes(passed=3, deselected=14)
    marked = outcomes.run("-m", "not golden")
    marked.assert_outcomes(passed=1, errors=1, deselected=15)
    by_id = outcomes.run("test_all.py::TestGroup::test_in_class[2.0]")
    by_id.assert_outcomes(passed=1)
    outcomes.run("-k", "body_fails or passes", "--cache-clear")
    last_failed = outcomes.run("--lf", "-v")
    last_failed.assert_outcomes(failed=1)
    last_failed.stdout.fnmatch_lines(["*test_body_fails FAILED*"])
    first = outcomes.run("--ff", "-v", "-x", "-k", "body_fails or passes")
    first.assert_outcomes(failed=1, deselected=14)
    from_inside = outcomes.path / "sub"
    from_inside.mkdir()
    os.chdir(from_inside)
    outcomes.run("../test_all.py", "-k", "in_class").assert_outcomes(passed=2, deselected=15)


def test_the_first_failure_ends_the_session_when_asked(scoped: Project) -> None:
    for path in ("test_first.py",):
        source = (scoped.path / path).read_text(encoding="utf-8")
        scoped.write(path, source.replace("loss=1.0", "loss=9.0", 1))
    result = scoped.run("-x", "-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*loss*", "*stopping after 1 failures*"])
    # everything is torn down, as with any test that ends the session
    assert events(scoped)[-2:] == ["child test_first down", "child session down"]
    scoped.run("--maxfail=2").assert_outcomes(passed=5, failed=1)


PLAIN = """
import os, sys
import pytest

before = dict(os.environ)

def test_plain_first():
    assert "torch" not in sys.modules

def test_golden(golden_run):
    assert os.environ["FAKE_PIN"] == "in force"
    assert os.environ["PYTHONHASHSEED"] and os.environ["ATEN_CPU_CAPABILITY"]
    assert sys.flags.hash_randomization == 0
    golden_run.step(loss=1.0)

def test_plain_after():
    now = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    then = {k: v for k, v in before.items() if k != "PYTEST_CURRENT_TEST"}
    assert now == then
    assert "FAKE_PIN" not in os.environ and "ATEN_CPU_CAPABILITY" not in os.environ
    assert not {"torch", "numpy"} & set(sys.modules)
"""


def test_other_tests_run_without_any_pin(project: Project) -> None:
    project.without_torch()
    project.write("test_pins.py", PLAIN)
    project.run("--golden-update").assert_outcomes(passed=3)
    project.run().assert_outcomes(passed=3)


def test_what_golden_tests_print_is_shown_live_with_s(project: Project) -> None:
    project.without_torch()
    project.write(
        "test_print.py",
        "def test_p(golden_run):\n    print('said aloud')\n    golden_run.step(loss=1.0)\n",
    )
    result = project.run("-s", "--golden-update")
    assert result.stdout.str().count("said aloud") == 2  # once in each of two fresh processes
    assert "said aloud" not in project.run("-rA", "--show-capture=no").stdout.str()


def test_options_reach_the_child_and_its_writers_stay_silent(project: Project) -> None:
    project.without_torch(
        """
import pytest
def pytest_addoption(parser):
    parser.addoption("--size", type=int, default=1)
@pytest.fixture(autouse=True)
def logs(caplog): caplog.set_level("INFO")
"""
    )
    project.write("deep/other.py", "VALUE = 5\n")
    project.load_all_plugins()
    project.configure(
        "pythonpath = deep",
        "filterwarnings = error",
        addopts="-p no:randomly --strict-markers",
    )
    project.write(
        "test_options.py",
        """
import logging, warnings
import other, pytest

def test_options(golden_run, pytestconfig, tmp_path, cache):
    assert pytestconfig.getoption("--size") == 3
    assert other.VALUE == 5
    assert tmp_path.is_dir()
    with pytest.raises(UserWarning):
        warnings.warn("filters hold")
    logging.getLogger("x").info("logged")
    golden_run.step(loss=1.0)
    assert pytestconfig.getoption("verbose") == 0
""",
    )
    arguments = ("--size=3", "--log-file=log.txt", "--junitxml=j.xml", "--import-mode=importlib")
    project.run(*arguments, "--golden-update").assert_outcomes(passed=1)
    result = project.run(*arguments, "-W", "error", "-rA", "-o", "console_output_style=count")
    result.assert_outcomes(passed=1)
    assert len(junit_cases(project.path / "j.xml")) == 1
