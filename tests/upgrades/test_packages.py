"""The environment at hand, goldtrace's own wheel, and what uv is asked."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import goldtrace
from goldtrace.errors import UsageError
from goldtrace.packages import own_wheel, uv
from goldtrace.packages.today import roots_of, todays_environment, who_needs_what
from goldtrace.packages.uv import BuildError, FetchError, Resolution, ResolutionError, Uv, Wish
from goldtrace.packages.workspace import Workspace
from goldtrace.workflow.means import Means


def test_today_wants_what_nobody_else_brings_and_pins_everything():
    today = todays_environment()
    names = {Requirement(line).name for line in today.requirements}
    pins = {pin.partition("==")[0] for pin in today.pins}
    assert {"torch", "pytest", "hypothesis"} <= names
    assert "pluggy" not in names
    assert "pluggy" in pins
    assert "goldtrace" not in names | pins
    assert "pip" not in names | pins


def test_extras_count_only_where_somebody_asks_for_them():
    needs = who_needs_what(
        {
            "app": ["tool[fast]>=1"],
            "tool": ["core", "speed; extra == 'fast'", "docs; extra == 'docs'"],
            "core": ["not-installed"],
            "speed": [],
            "docs": [],
            "ring": ["other"],
            "other": ["ring"],
        }
    )
    assert needs["tool"] == {"core", "speed"}
    names = ["app", "tool", "core", "speed", "docs", "ring", "other"]
    assert sorted(roots_of(names, needs)) == ["app", "docs", "other"]


def test_the_own_wheel_holds_the_running_code_and_is_reproducible(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    wheel = own_wheel.write_own_wheel(one)
    assert wheel.read_bytes() == own_wheel.write_own_wheel(other).read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        errors = Path(goldtrace.__file__).with_name("errors.py")
        assert archive.read("goldtrace/errors.py") == errors.read_bytes()
        assert not any("__pycache__" in name for name in names)
        info = f"goldtrace-{goldtrace.__version__}.dist-info"
        assert b"goldtrace.pytest_plugin" in archive.read(f"{info}/entry_points.txt")
        record = archive.read(f"{info}/RECORD").decode().splitlines()
    assert {line.split(",")[0] for line in record} == set(names)


def test_a_change_outside_of_training_keeps_the_traces(monkeypatch):
    sources = own_wheel.own_sources()
    before = own_wheel.own_digest(), own_wheel.training_digest()

    def change(file):
        monkeypatch.setattr(own_wheel, "own_sources", lambda: {**sources, file: b"#"})

    change("goldtrace/cli/check.py")
    assert own_wheel.own_digest() != before[0]
    assert own_wheel.training_digest() == before[1]
    for file in ("goldtrace/recording/digest.py", "goldtrace/universal/draws.py"):
        change(file)
        assert own_wheel.training_digest() != before[1]


def test_pins_give_way_only_where_they_must(index, tmp_path):
    for minor in range(3):
        index.add("engine", f"1.{minor}", "")
        index.add("bolted", f"1.{minor}", "", requires=[f"engine==1.{minor}"])
        index.add("loose", f"1.{minor}", "")
    tool = Means(directory=tmp_path).uv(tmp_path)
    wish = Wish(
        requirements=("engine==1.1", "bolted", "loose"),
        preferred=("engine==1.0", "bolted==1.0", "loose==1.0"),
    )
    assert tool.resolve(wish).versions == {"engine": "1.1", "bolted": "1.1", "loose": "1.0"}
    impossible = Wish(requirements=("engine==1.1", "bolted==1.0"))
    with pytest.raises(ResolutionError):
        tool.resolve(impossible)
    second = Wish(requirements=impossible.requirements, otherwise=wish)
    assert tool.resolve(second).versions["bolted"] == "1.1"


def test_a_resolution_is_identified_by_its_pins_and_python():
    one = Resolution(pins=("a==1", "b==2"), python="3.11.1")
    assert one.digest == Resolution(pins=("a==1", "b==2"), python="3.11.1").digest
    assert one.digest != Resolution(pins=("a==1", "b==3"), python="3.11.1").digest
    assert one.digest != Resolution(pins=("a==1", "b==2"), python="3.12.1").digest


@pytest.mark.parametrize(
    "message",
    [
        "error: No space left on device (os error 28)",
        "error sending request for url",
        "HTTP status server error (503 Service Unavailable)",
        "operation timed out",
        "error: Failed to fetch: https://example.org/simple/a/\n  HTTP 429 Too Many Requests",
        "error: No solution found\nhint: no valid authentication credentials (401 Unauthorized)",
        "error: No solution found\nhint: the index returned a 403 Forbidden error",
    ],
)
def test_an_index_or_disk_that_gives_out_is_no_answer_about_packages(
    monkeypatch, tmp_path, message
):
    tool = Uv(command=Path("uv"), root=tmp_path, python=Path(sys.executable))
    failed = subprocess.CompletedProcess([], 2, "", f"x\n{message}\n")
    monkeypatch.setattr(Uv, "call", lambda *_, **__: failed)
    with pytest.raises(FetchError):
        tool.resolve(Wish(requirements=("a",)))
    with pytest.raises(FetchError):
        tool.newest("a", ">=1")
    with pytest.raises(FetchError):
        tool.install(tmp_path, (), builds=False)


def test_only_a_search_without_a_solution_is_the_end_of_the_releases(index, tmp_path, monkeypatch):
    index.add("engine", "1.0", "")
    tool = Means(directory=tmp_path).uv(tmp_path)
    assert tool.newest("engine", ">1.0") is None
    with pytest.raises(FetchError, match="can't be listed"):
        tool.newest("engine", "is no bound")
    monkeypatch.setenv("UV_INDEX_STRATEGY", "no-such-strategy")
    with pytest.raises(FetchError, match="can't be listed"):
        tool.newest("engine", ">=1.0")


def test_uv_is_found_beside_python_then_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match="uv isn't installed"):
        uv.find_uv()
    for folder in ("elsewhere", "bin"):
        (tmp_path / folder).mkdir()
        command = tmp_path / folder / "uv"
        command.touch(mode=0o755)
        assert uv.find_uv() == command


def test_an_environment_that_was_cut_short_is_built_again(index, tmp_path, monkeypatch):
    index.add("engine", "1.0", "VALUE = 1\n")
    tool = Means(directory=tmp_path).uv(tmp_path)
    workspace = Workspace(tmp_path / "workspace", tool, keep=10**9)
    resolution = tool.resolve(Wish(requirements=("engine",)))
    install = Uv.install

    def dying(self, environment, arguments, *, builds):
        install(self, environment, arguments, builds=builds)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Uv, "install", dying)
        with pytest.raises(KeyboardInterrupt), workspace.environment(resolution):
            pass
    assert workspace.sizes() == {}
    # As kill -9 leaves it: files without the mark.
    place = workspace.place(resolution)
    (place / "bin").mkdir(parents=True)
    with workspace.environment(resolution) as interpreter:
        code = "import engine, goldtrace; print(engine.VALUE)"
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_two_checkouts_with_equal_pins_do_not_share_an_environment(tmp_path):
    tool = Means(directory=tmp_path).uv(tmp_path)
    resolution = Resolution(pins=("engine==1.0",))

    def place(*editable):
        return Workspace(tmp_path, tool, keep=0, editable=editable).place(resolution)

    assert place(tmp_path / "one") == place(tmp_path / "one")
    assert len({place(), place(tmp_path / "one"), place(tmp_path / "other")}) == 3


def test_the_longest_unused_environment_goes_first_and_none_in_use(index, tmp_path):
    for minor in range(3):
        index.add("engine", f"1.{minor}", "")
    tool = Means(directory=tmp_path).uv(tmp_path)
    resolutions = [tool.resolve(Wish(requirements=(f"engine==1.{n}",))) for n in range(3)]
    workspace = Workspace(tmp_path / "workspace", tool, keep=10**9)
    for resolution in (resolutions[0], resolutions[1], resolutions[2], resolutions[0]):
        with workspace.environment(resolution):
            pass
    places = [workspace.place(resolution) for resolution in resolutions]
    sizes = workspace.sizes()
    assert list(sizes) == [places[1], places[2], places[0]]
    workspace.keep = sizes[places[2]] + sizes[places[0]]
    workspace.clean()
    assert list(workspace.sizes()) == [places[2], places[0]]
    workspace.keep = 0
    with workspace.environment(resolutions[0]):
        workspace.clean()
        assert list(workspace.sizes()) == [places[0]]
    assert workspace.sizes() == {}


def test_a_package_without_a_wheel_is_no_candidate_unless_builds_are_allowed(index, tmp_path):
    index.add("engine", "1.0", "")
    project = index.folder / "engine"
    page = project / "index.html"
    (project / "engine-1.1.tar.gz").write_bytes(b"not even an archive")
    page.write_text(page.read_text().replace("</body>", '<a href="engine-1.1.tar.gz">x</a></body>'))
    tool = Means(directory=tmp_path).uv(tmp_path)
    assert tool.newest("engine", ">=1.0") == "1.0"
    allowed = Means(directory=tmp_path, builds=True).uv(tmp_path)
    with pytest.raises(BuildError):
        allowed.install(tmp_path, ("engine==1.1",), builds=True)


def test_requirements_that_nobody_can_read_are_passed_over():
    assert who_needs_what({"old": ["pytz (>dev)", "core"], "core": []})["old"] == {"core"}


def test_whatever_the_settings_of_a_project_make_uv_write_pins_are_read():
    lines = ["--index-url https://example.org", "# by uv", "numpy==2.0.0 \\", "    --hash=sha256:0"]
    assert list(uv._pins([*lines, "torch==2.4.0 ; python_version > '3'"])) == [
        "numpy==2.0.0",
        "torch==2.4.0",
    ]
