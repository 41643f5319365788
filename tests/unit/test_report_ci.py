"""What CI services read: workflow commands, the step's summary, metrics, code quality, JUnit."""

from __future__ import annotations

import json
import re

import pytest
from report_samples import HOSTILE, drift, hostile, result, rounding

from goldtrace.errors import RunError
from goldtrace.model.verdict import RunResult, Verdict
from goldtrace.report.ci import annotate, code_quality, metrics, properties, publish
from goldtrace.report.document import to_document
from goldtrace.report.folder import read_document, report_files, write_report

DRIFT = to_document([drift()])
HOSTILE_RUN = to_document([hostile()])


@pytest.fixture
def root(tmp_path):
    (tmp_path / "training.py").write_text("# the user's code\n")
    return tmp_path


def test_a_drift_is_annotated_at_the_line_that_the_tape_knows(root) -> None:
    (line,) = annotate(DRIFT, root=root, top=root)
    assert line.startswith("::error title=golden tiny [cpu],file=training.py,line=7::drift")
    assert "%0Athe optimizer was given another scalar%0Anext: goldtrace record tiny" in line


def test_places_are_named_from_the_top_of_the_repository(root) -> None:
    inner = root / "projects" / "model"
    inner.mkdir(parents=True)
    (inner / "training.py").write_text("")
    (line,) = annotate(DRIFT, root=inner, top=root)
    assert "file=projects/model/training.py,line=7" in line


def test_a_file_that_is_not_the_users_is_not_annotated(tmp_path) -> None:
    (line,) = annotate(DRIFT, root=tmp_path, top=tmp_path)
    assert line.startswith("::error title=golden tiny [cpu]::")
    (tmp_path / "golden" / "tiny").mkdir(parents=True)
    (tmp_path / "golden" / "tiny" / "run.toml").write_text("")
    (line,) = annotate(DRIFT, root=tmp_path, top=tmp_path)
    assert "file=golden/tiny/run.toml::" in line


def test_a_test_is_annotated_in_its_file_and_an_error_where_it_says(tmp_path) -> None:
    (tmp_path / "test_it.py").write_text("")
    missing = RunResult(
        name="t", device="cpu", verdict=Verdict.MISSING, origin="test_it.py::test_training"
    )
    raised = RunResult(name="t", device="cpu", error=RunError("it raised", where="test_it.py:3"))
    one, other = annotate(to_document([missing, raised]), root=tmp_path, top=tmp_path)
    assert "file=test_it.py::no golden" in one
    assert "file=test_it.py,line=3::error: it raised" in other


def test_rounding_warns_and_an_identical_or_skipped_run_says_nothing(root) -> None:
    skipped = RunResult(name="t", device="cuda", skipped="no GPU")
    (line,) = annotate(to_document([result(), skipped, rounding()]), root=root, top=root)
    assert line.startswith("::warning title=golden tiny [cpu]")


def test_a_hostile_name_makes_one_command_of_one_line(root) -> None:
    (line,) = annotate(HOSTILE_RUN, root=root, top=root)
    assert "\n" not in line
    assert "\r" not in line
    command = re.fullmatch(r"::error ([^:]*)::(.*)", line)
    assert command is not None
    given = dict(pair.split("=", 1) for pair in command[1].split(","))
    assert set(given) == {"title"}
    assert not re.search(r"%(?!25|0A|0D|3A|2C)", line)


def test_the_summary_is_appended_where_there_is_one_and_annotations_need_a_runner(root) -> None:
    summary = root / "summary.md"
    summary.write_text("before\n")
    variables = {"GITHUB_STEP_SUMMARY": str(summary)}
    assert publish(DRIFT, root=root, variables=variables) == []
    assert summary.read_text().startswith("before\n### goldtrace: 1 run: 1 failed")
    assert len(publish(DRIFT, root=root, variables={"GITHUB_ACTIONS": "true"})) == 1
    assert publish(DRIFT, root=root, variables={}) == []


def test_metrics_are_openmetrics_text() -> None:
    text = metrics(to_document([result(), drift(device="cuda")]))
    assert text.endswith("# EOF\n")
    assert 'goldtrace_passed{run="tiny",device="cpu"} 1\n' in text
    assert 'goldtrace_passed{run="tiny",device="cuda"} 0\n' in text
    assert re.search(r'goldtrace_equivalent_ulp\{run="tiny",device="cuda"\} [0-9.]+\n', text)


@pytest.mark.parametrize("name", [HOSTILE, 'a"b\\c'])
def test_a_label_ends_where_it_should(name) -> None:
    for line in metrics(to_document([drift(name=name)])).splitlines():
        if not line.startswith("#"):
            label = r'"(?:[^"\\\n]|\\["\\n])*"'
            assert re.fullmatch(rf"goldtrace_\w+\{{run={label},device={label}\}} \S+", line)


def test_code_quality_has_the_fields_that_gitlab_asks_for(root) -> None:
    issues = code_quality(to_document([drift(), rounding(), result(), hostile()]), root=root)
    assert [issue["severity"] for issue in issues] == ["critical", "minor", "critical"]
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["location"]["lines"]["begin"] >= 1
        assert "\n" not in issue["description"]
    assert issues[0]["location"] == {"path": "training.py", "lines": {"begin": 7}}
    assert len({issue["fingerprint"] for issue in issues}) == 3
    json.loads(json.dumps(issues))


def test_the_fingerprint_of_a_finding_stays_while_its_numbers_move(root) -> None:
    one, other = (code_quality(to_document([drift(seconds=s)]), root=root) for s in (1.0, 2.0))
    assert one[0]["fingerprint"] == other[0]["fingerprint"]


def test_junit_properties_say_verdict_platform_and_noise() -> None:
    found = dict(properties(DRIFT["runs"][0]))
    assert found["verdict"] == "drift"
    assert found["platform"] == "cpu-portable"
    assert float(found["equivalent_ulp"]) > 64
    assert found["first_divergence"] == "3:loss:loss"
    assert dict(properties(to_document([result()])["runs"][0])) == {
        "verdict": "identical",
        "platform": "cpu-portable",
    }
    assert all(value.isprintable() for _, value in properties(HOSTILE_RUN["runs"][0]))


def test_a_report_of_the_first_release_is_shown_as_far_as_it_goes(tmp_path) -> None:
    later = ("origin", "line", "course", "candidate", "checklist", "next", "headline")
    (run,) = DRIFT["runs"]
    old = {name: value for name, value in run.items() if name not in later}
    (tmp_path / "report.json").write_text(json.dumps({"schema": 1, "runs": [old]}))
    document = read_document(tmp_path)
    assert document["runs"][0]["headline"] == "drift"
    assert "aten::add_" in report_files(document, root=tmp_path)["report.html"]


@pytest.mark.parametrize("document", [DRIFT, HOSTILE_RUN, to_document([])])
def test_a_report_directory_has_every_face_and_can_be_read_again(document, root) -> None:
    write_report(root / "a" / "report", document, root=root)
    assert {path.name for path in (root / "a" / "report").iterdir()} == set(
        report_files(document, root=root)
    )
    assert read_document(root / "a" / "report") == document
    for name in report_files(document, root=root):
        (root / "a" / "report" / name).read_text(encoding="utf-8")


def test_a_summary_that_cannot_be_written_is_a_warning_and_costs_no_verdict(root) -> None:
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(root)}
    warning, error = publish(DRIFT, root=root, variables=variables)
    assert warning.startswith("::warning title=goldtrace::the summary can't be written: ")
    assert error.startswith("::error title=golden tiny")


def test_gitlab_is_told_places_from_the_top_of_its_checkout(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "projects" / "model"
    project.mkdir(parents=True)
    (project / "training.py").touch()

    def path() -> str:
        write_report(project / "report", DRIFT, root=project)
        (issue,) = json.loads((project / "report" / "gitlab-codequality.json").read_text())
        return str(issue["location"]["path"])

    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path))
    assert path() == "projects/model/training.py"
    # Somebody else's variable, which says nothing of this project.
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "elsewhere"))
    assert path() == "training.py"
    monkeypatch.delenv("CI_PROJECT_DIR")
    assert path() == "training.py"


def test_goldens_in_another_folder_are_named_by_it(tmp_path) -> None:
    golden = tmp_path / "accepted" / "goldens"
    (golden / "tiny").mkdir(parents=True)
    (golden / "tiny" / "run.toml").touch()
    (line,) = annotate(DRIFT, root=golden.parent, top=tmp_path, golden=golden)
    assert "file=accepted/goldens/tiny/run.toml::" in line
    (issue,) = code_quality(DRIFT, root=golden.parent, top=tmp_path, golden=golden)
    assert issue["location"]["path"] == "accepted/goldens/tiny/run.toml"
    (golden / "tiny" / "run.toml").unlink()
    (issue,) = code_quality(DRIFT, root=golden.parent, top=tmp_path, golden=golden)
    assert issue["location"]["path"] == "accepted/goldens"
