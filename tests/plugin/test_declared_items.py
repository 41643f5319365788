"""``golden/*/run.toml`` as pytest items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from project import Project

pytest_plugins = ["pytester"]

# The declared runs of these tests don't train: their config says what the losses are.
LAUNCH = """
import goldtrace.workflow.proposing, goldtrace.session.declared
goldtrace.session.declared.launch = goldtrace.workflow.proposing.launch = fake_recording.launch
"""

RUN = """\
entry = "package.module:train"
devices = {devices}
{more}
[config]
losses = {losses}
"""


def declare(
    project: Project, name: str, *, losses: str = "[1.0]", devices: str = '["cpu"]', more: str = ""
) -> None:
    content = RUN.format(losses=losses, devices=devices, more=more)
    project.write(f"golden/{name}/run.toml", content)


def test_declared_runs_are_items_named_by_device(project: Project) -> None:
    project.without_torch(LAUNCH)
    declare(project, "one")
    declare(project, "two", devices='["cpu", "cuda"]')
    declare(project, "gpu-only", devices='["cuda"]')
    project.write("elsewhere/three/run.toml", "not ours")
    listed = project.run("--collect-only", "-q", "golden", "--golden-device=cpu,cuda")
    listed.stdout.fnmatch_lines(
        [
            "golden/gpu-only/run.toml::cuda",
            "golden/one/run.toml::cpu",
            "golden/two/run.toml::cpu",
            "golden/two/run.toml::cuda",
        ]
    )
    missing = project.run("golden", "-rs", "--golden-report=report")
    missing.assert_outcomes(failed=2, skipped=1)
    missing.stdout.fnmatch_lines(["one [[]cpu[]]: no golden*", "*needs --golden-device cuda*"])
    assert "Traceback" not in missing.stdout.str()
    assert "goldtrace record one" in missing.stdout.str()
    written = project.run("golden", "--golden-update=missing")
    written.assert_outcomes(passed=2, skipped=1)
    written.stdout.fnmatch_lines(["written: one *", "written: two *"])
    project.run("golden/one/run.toml::cpu").assert_outcomes(passed=1)
    declare(project, "one", losses="[1.0, 2.0]")
    drift = project.run("golden", "-k", "one", "--golden-report=report")
    drift.assert_outcomes(failed=1, deselected=2)
    assert project.report()["one@cpu"]["verdict"] == "drift"
    assert (project.path / "report/traces/one/cpu/steps.jsonl").is_file()


def test_a_mistake_in_a_declaration_is_an_error_with_its_line(project: Project) -> None:
    project.without_torch(LAUNCH)
    declare(project, "good")
    declare(project, "bad", more="sede = 3")
    result = project.run("golden")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*golden/bad/run.toml:3: unknown key sede*"])
    assert "Traceback" not in result.stdout.str()


def test_absent_data_skips_with_the_command_and_fails_when_strict(project: Project) -> None:
    project.without_torch(
        LAUNCH
        + """
from goldtrace.errors import DataUnavailableError
def launch(spec, device, *, root, watch=None):
    raise DataUnavailableError("CIFAR-10 is not here", hint="goldtrace data cifar10")
goldtrace.session.declared.launch = launch
"""
    )
    declare(project, "one")
    skipped = project.run("golden", "-rs", "--golden-report=report")
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines(["SKIPPED*CIFAR-10 is not here; next: goldtrace data cifar10"])
    assert "not here" in project.report()["one@cpu"]["skipped"]
    strict = project.run("golden", "--golden-strict")
    strict.assert_outcomes(failed=1)
    strict.stdout.fnmatch_lines(["*CIFAR-10 is not here*", "*goldtrace data cifar10*"])


def test_where_goldens_are_can_be_configured(project: Project) -> None:
    project.without_torch(LAUNCH)
    project.configure("golden_dir = accepted", "golden_strict = true")
    content = RUN.format(losses="[1.0]", devices='["cpu"]', more="")
    project.write("accepted/one/run.toml", content)
    project.run("--golden-update").assert_outcomes(passed=1)
    assert (project.path / "accepted/one/fake-cpu/steps.jsonl").is_file()
    project.write("other/one/run.toml", content)
    project.run("other", "--golden-dir=other").assert_outcomes(failed=1)


def test_a_declared_run_trains_in_an_interpreter_of_its_own(project: Project) -> None:
    """The one test here that trains: the parent stays without torch."""
    project.write(
        "training.py",
        """
import torch
def train(run):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=run.config["lr"])
    run.watch(model=model, optimizer=optimizer)
    for _ in range(3):
        x, y = torch.randn(5, 3), torch.randn(5, 1)
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        run.step(loss=loss, batch=(x, y))
""",
    )
    toml = 'entry = "training:train"\n[config]\nlr = 0.1\n'
    project.write("golden/linear/run.toml", toml)
    project.write("test_z.py", "import sys\ndef test_z(): assert 'torch' not in sys.modules\n")
    project.run("golden", "test_z.py", "--golden-update").assert_outcomes(passed=2)
    project.write("golden/linear/run.toml", toml.replace("0.1", "0.1001"))
    drift = project.run("golden")
    drift.assert_outcomes(failed=1)
    drift.stdout.fnmatch_lines(["linear [[]cpu[]]: drift*from step 0: *lr*0.1*0.1001*"])


def test_a_declared_run_that_fails_leaves_a_candidate(project: Project) -> None:
    project.without_torch(LAUNCH)
    declare(project, "one")
    result = project.run("golden", "--golden-report=report")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "goldtrace: one on cpu once more: missing, so for a candidate golden",
            "one [[]cpu[]]: candidate golden in report/candidates/one/fake-cpu",
        ]
    )
    assert (project.path / "report/candidates/one/fake-cpu/candidate.json").is_file()
    quiet = project.run("golden", "--golden-report=report", "--golden-no-candidates")
    assert "candidate golden" not in quiet.stdout.str()
    assert not (project.path / "report/candidates/one/fake-cpu").exists()


def test_an_interrupt_while_a_candidate_is_made_ends_the_session_after_the_verdict(
    project: Project,
) -> None:
    interrupt = """
def interrupted(*_, **__): raise KeyboardInterrupt
goldtrace.workflow.proposing.launch = interrupted
"""
    project.without_torch(LAUNCH + interrupt)
    declare(project, "one")
    declare(project, "two")
    result = project.run("golden", "--golden-report=report")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*interrupted while a candidate golden was made*"])
    assert project.report()["one@cpu"]["verdict"] == "missing"


def test_a_golden_directory_may_be_named_from_below(project: Project) -> None:
    project.without_torch(LAUNCH)
    declare(project, "one")
    project.write("inner/kept", "")
    project.pytester.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path / "inner")
        listed = project.pytester.runpytest_subprocess(
            "--collect-only", "-q", "--golden-dir=../golden", "../golden"
        )
    listed.stdout.fnmatch_lines(["golden/one/run.toml::cpu"])
