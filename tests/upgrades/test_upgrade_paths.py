"""The whole way of a bisection, from an index to change points, with real environments of uv."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_packages import PrintedRun

from goldtrace.bisect.causes import Ends
from goldtrace.errors import UsageError
from goldtrace.model.upgrade import Severity, Standing
from goldtrace.packages.releases import releases
from goldtrace.workflow.bisecting import bisect_package, bisect_pins, plan_package
from goldtrace.workflow.means import Means
from goldtrace.workflow.trying import try_packages


@pytest.fixture
def means(tmp_path):
    return Means(directory=tmp_path / "workspace", ahead=False)


@pytest.fixture
def run(tmp_path):
    return PrintedRun(root=tmp_path, modules=("engine",))


def value(number: float) -> str:
    return f"VALUE = {number}\n"


def standings(bisection) -> dict[str, Standing]:
    return {probe.label: probe.standing for probe in bisection.probes}


def test_candidates_are_neither_yanked_nor_pre_releases(index, means, tmp_path):
    for version in ("1.0", "1.1", "1.2", "1.10", "2.0rc1"):
        index.add("engine", version, value(1), yanked=version == "1.1")
    uv = means.uv(tmp_path)
    assert releases(uv, "engine", first="1.0") == ("1.0", "1.2", "1.10")
    assert releases(uv, "engine", first="1.0", last="1.2") == ("1.0", "1.2")
    with pytest.raises(UsageError, match="nothing between"):
        releases(uv, "engine", first="1.10")
    with pytest.raises(UsageError) as refusal:
        releases(uv, "engine", first="1.2", last="1.0")
    assert refusal.value.hint == "--from 1.0 --to 1.2"


def test_releases_with_a_local_label_are_listed_and_stand_between_others(index, means, tmp_path):
    """As a freeze of torch's CPU builds names them; no bound may have a label."""
    for version in ("1.0", "1.1", "1.1.1", "1.2"):
        index.add("engine", f"{version}+cpu", value(1))
    uv = means.uv(tmp_path)
    names = ("1.0+cpu", "1.1+cpu", "1.1.1+cpu", "1.2+cpu")
    assert releases(uv, "engine", first="1.0+cpu", last="1.2+cpu") == names
    assert releases(uv, "engine", first="1.0+cpu") == names
    ends = Ends(old={"engine": "1.0+cpu"}, new={"engine": "1.2+cpu", "engine-core": "1.0+cpu"})
    loose = ends.wish(frozenset()).otherwise
    assert loose is not None
    assert loose.constraints == ("engine-core<=1.0", "engine>=1.0,<=1.2")
    for version in ("1.1", "1.2"):
        index.add("bolted", version, "", requires=[f"engine=={version}"])
    wish = replace(loose, requirements=(*loose.requirements, "bolted"))
    assert uv.resolve(wish).versions["engine"] == "1.2+cpu"


def test_pre_releases_are_candidates_when_asked_for(index, tmp_path):
    for version in ("1.0", "1.1rc1", "1.1"):
        index.add("engine", version, value(1))
    uv = Means(directory=tmp_path, prereleases=True).uv(tmp_path)
    assert releases(uv, "engine", first="1.0") == ("1.0", "1.1rc1", "1.1")


def test_a_change_point_is_found_around_releases_that_cannot_be_tried(index, today, means, run):
    for minor in range(10):
        changed = value(1.0 if minor < 7 else 2.0)
        broken = "raise ImportError('built for another world')\n"
        index.add(
            "engine",
            f"1.{minor}",
            broken if minor == 6 else changed,
            requires=["missing==99"] if minor == 4 else [],
            damaged=minor == 5,
        )
    today("engine==1.9")
    bisection = bisect_package(run, "engine", means, first="1.0", last="1.9")
    (point,) = bisection.change_points
    assert (point.good, point.bad) == ("1.3", "1.7")
    assert point.skipped == ("1.4", "1.5", "1.6")
    assert point.confirmed
    assert bisection.conclusive
    said = standings(bisection)
    reasons = {probe.label: probe.reason or "" for probe in bisection.probes}
    assert said["engine 1.4"] is said["engine 1.5"] is said["engine 1.6"] is Standing.SKIPPED
    assert "resolved" in reasons["engine 1.4"]
    assert "built" in reasons["engine 1.5"]
    assert "imported" in reasons["engine 1.6"]


def test_what_moves_along_is_reported(index, today, means, run):
    for minor in range(4):
        index.add("engine", f"1.{minor}", value(minor))
        index.add("bolted", f"1.{minor}", "", requires=[f"engine==1.{minor}"])
    today("engine==1.3", "bolted==1.3")
    bisection = bisect_package(run, "engine", means, first="1.0", last="1.3", everything=True)
    points = bisection.change_points
    assert [(p.good, p.bad) for p in points] == [("1.0", "1.1"), ("1.1", "1.2"), ("1.2", "1.3")]
    moved = [(c.what, c.golden, c.now) for c in points[0].moved_along]
    assert moved == [("bolted", "1.0", "1.1")]


def test_asking_again_trains_nothing_and_gives_the_same_answer(index, today, means, run):
    for minor in range(6):
        index.add("engine", f"1.{minor}", value(minor // 3))
    today("engine==1.5")
    first = bisect_package(run, "engine", means, first="1.0", last="1.5")
    trained = len(run.trained)
    again = bisect_package(run, "engine", means, first="1.0", last="1.5")
    assert len(run.trained) == trained
    assert again.change_points == first.change_points
    assert all(probe.seconds is None for probe in again.probes)


def test_a_failure_of_another_kind_is_skipped_not_blamed(index, today, means, run):
    codes = [value(1)] * 3 + ["raise KeyError\n"] * 2 + ["raise TypeError\n"] * 3
    for minor, code in enumerate(codes):
        index.add("engine", f"1.{minor}", code)
    today("engine==1.7")
    bisection = bisect_package(run, "engine", means, first="1.0", last="1.7")
    (point,) = bisection.change_points
    assert (point.good, point.bad, point.skipped) == ("1.2", "1.5", ("1.3", "1.4"))
    assert "TypeError" in (point.failure or "")


def test_ends_that_agree_are_no_change_point(index, today, means, run):
    for minor in range(5):
        index.add("engine", f"1.{minor}", value(1))
    today("engine==1.4")
    bisection = bisect_package(run, "engine", means, first="1.0", last="1.4")
    assert bisection.change_points == ()
    assert bisection.conclusive
    assert len(bisection.probes) == 2


def test_until_leaves_smaller_differences_alone(index, today, tmp_path, run):
    numbers = [1.0, 1.0 + 2**-22, 1.0 + 2**-22, 1.5]
    for minor, number in enumerate(numbers):
        index.add("engine", f"1.{minor}", value(number))
    today("engine==1.3")
    found = {}
    for until in (Severity.ROUNDING, Severity.BEHAVIOUR):
        means = Means(directory=tmp_path / "workspace", until=until, ahead=False)
        (point,) = bisect_package(run, "engine", means, first="1.0", last="1.3").change_points
        found[until] = point.bad
    assert found == {Severity.ROUNDING: "1.1", Severity.BEHAVIOUR: "1.3"}


def test_two_jobs_and_building_ahead_find_the_same(index, today, tmp_path, run):
    for minor in range(9):
        index.add("engine", f"1.{minor}", value(minor // 5))
    today("engine==1.8")
    for number, fields in enumerate(({"jobs": 3}, {"ahead": True})):
        means = Means(directory=tmp_path / f"workspace{number}", **fields)
        (point,) = bisect_package(run, "engine", means, first="1.0", last="1.8").change_points
        assert (point.good, point.bad) == ("1.4", "1.5")


def test_two_locks_are_bisected_to_packages_and_their_releases(index, means, today, tmp_path):
    """Two that only act together, one alone, and many that don't matter."""
    for name in ("alpha", "beta", "gamma", *(f"other{n}" for n in range(9))):
        for minor in range(5):
            code = "VALUE = 0.0\n"
            if name == "alpha":
                code = f"import beta\nVALUE = float(beta.LEVEL >= 3 and {minor} >= 2)\n"
            elif name == "beta":
                code = f"LEVEL = {minor}\nVALUE = 0.0\n"
            elif name == "gamma":
                code = value(7.0 if minor == 4 else 5.0)
            index.add(name, f"1.{minor}", code)
    today()
    names = ["alpha", "beta", "gamma", *(f"other{n}" for n in range(9))]
    old, new = dict.fromkeys(names, "1.0"), dict.fromkeys(names, "1.4")
    run = PrintedRun(root=tmp_path, modules=("alpha", "beta", "gamma"))
    bisection = bisect_pins(run, old, new, means, names=("old", "new"))
    causes = {frozenset(change.what for change in cause) for cause in bisection.causes}
    assert causes == {frozenset({"alpha", "beta"}), frozenset({"gamma"})}
    found = {(p.package, p.good, p.bad) for p in bisection.change_points}
    assert found == {
        ("alpha", "1.1", "1.2"),
        ("beta", "1.2", "1.3"),
        ("gamma", "1.3", "1.4"),
    }
    together = {p.package: [c.what for c in p.together_with] for p in bisection.change_points}
    assert together == {"alpha": ["beta"], "beta": ["alpha"], "gamma": []}


def test_packages_that_pin_each_other_move_as_one_cause(index, means, today, tmp_path):
    for minor in range(4):
        index.add("engine", f"1.{minor}", value(minor // 2))
        index.add("bolted", f"1.{minor}", "VALUE = 0\n", requires=[f"engine==1.{minor}"])
        index.add("loose", f"1.{minor}", "VALUE = 0\n")
    today()
    names = ("bolted", "engine", "loose")
    run = PrintedRun(root=tmp_path, modules=("engine",))
    bisection = bisect_pins(
        run, dict.fromkeys(names, "1.0"), dict.fromkeys(names, "1.3"), means, names=("a", "b")
    )
    (cause,) = bisection.causes
    assert {change.what for change in cause} <= {"engine", "bolted"}
    (point,) = bisection.change_points
    assert (point.good, point.bad) == ("1.1", "1.2")
    moved = {change.what for change in point.moved_along} | {point.package}
    assert moved == {"engine", "bolted"}


def test_what_only_an_old_package_needs_does_not_stand_in_the_way_of_the_new_one(
    index, means, today, tmp_path
):
    """As the CUDA libraries of two releases of torch, which lie in the same files."""
    other_library = "import sys; sys.modules['library_new'] = None\n"
    index.add("engine", "1.0", "VALUE = 1.0\n", requires=["library-old==1.0"])
    index.add("engine", "2.0", "import library_new\nVALUE = 2.0\n", requires=["library-new==1.0"])
    index.add("engine", "1.5", "VALUE = 2.0\n", requires=["library-old==1.1"])
    for version in ("1.0", "1.1"):
        index.add("library_old", version, "", starts=other_library)
    index.add("library_new", "1.0", "")
    for version in ("1.0", "2.0"):
        for other in ("alpha", "beta", "gamma"):
            index.add(other, version, "VALUE = 0.0\n")
    today()
    others = ("alpha", "beta", "gamma")
    old = {"engine": "1.0", "library-old": "1.0", **dict.fromkeys(others, "1.0")}
    new = {"engine": "2.0", "library-new": "1.0", **dict.fromkeys(others, "2.0")}
    run = PrintedRun(root=tmp_path, modules=("engine",))
    bisection = bisect_pins(run, old, new, means, names=("old", "new"))
    (cause,) = bisection.causes
    assert [change.what for change in cause] == ["engine"]
    assert Standing.SKIPPED not in standings(bisection).values()
    (point,) = bisection.change_points
    assert (point.package, point.good, point.bad, point.skipped) == ("engine", "1.0", "1.5", ())


def test_the_plan_tells_candidates_and_probes_without_any(index, today, means, run):
    for minor in range(9):
        index.add("engine", f"1.{minor}", value(minor))
    today("engine==1.8")
    plan = plan_package(run, "engine", means, first="1.0", last="1.8")
    assert len(plan.candidates) == 9
    assert plan.probes == 2 + 3
    assert run.trained == []


def test_trying_a_requirement_compares_with_today(index, today, means, run, monkeypatch):
    for minor in range(3):
        index.add("engine", f"1.{minor}", value(minor))
    today("engine==1.0")
    here = PrintedRun.train

    def train(self, interpreter):
        if "workspace" in str(interpreter):
            return here(self, interpreter)
        from golden_samples import trace

        return trace(losses=(1.0,))

    monkeypatch.setattr(PrintedRun, "train", train)
    run.run = "tests/test_x.py::test_y"
    same = try_packages([run], ["engine==1.1"], means)
    assert [result.passed for result in same.results] == [True]
    other = try_packages([run], ["engine==1.2"], means)
    assert [result.passed for result in other.results] == [False]
    assert [(c.what, c.golden, c.now) for c in other.changes] == [("engine", "1.0", "1.2")]
    newest = try_packages([run], [], means, latest=True)
    assert [c.now for c in newest.changes] == ["1.2"]


def test_environments_beyond_the_limit_are_removed(index, today, tmp_path, run):
    for minor in range(4):
        index.add("engine", f"1.{minor}", value(minor))
    today("engine==1.3")
    directory = tmp_path / "workspace"
    means = Means(directory=directory, keep=0, cache=False, ahead=False)
    bisect_package(run, "engine", means, first="1.0", last="1.3")
    left = [place for place in (directory / "environments").iterdir() if place.is_dir()]
    assert left == []
