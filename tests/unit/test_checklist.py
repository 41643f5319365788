from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import golden_samples as samples
import pytest

from goldtrace.checklist import checklist
from goldtrace.environment.probe import container
from goldtrace.model.checklist import Answer, no, yes
from goldtrace.model.environment import Environment, Revision
from goldtrace.model.scalar import Scalar
from goldtrace.report.document.check import checklist_document
from goldtrace.report.markdown.checklist import checklist_markdown
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.checklist import Point
    from goldtrace.model.trace import Trace

PINS = {
    "PYTHONHASHSEED": "0",
    "torch.use_deterministic_algorithms": "error",
    "torch.float32_matmul_precision": "highest",
    "torch.backends.mkldnn.fp32_precision": "ieee",
}
CUDA = {
    "torch.backends.cudnn.deterministic": "True",
    "torch.backends.cudnn.benchmark": "False",
    "torch.backends.cudnn.fp32_precision": "ieee",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction": "False",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction": "False",
}
LOCK = "numpy==2.4.6\ntorch==2.15.0 ; python_version >= '3'\ntriton==3.9.0\n"


def environment(**changes: Any) -> Environment:
    system = {"cpu": "A Processor", "lock": "requirements.lock sha256:0", "os": "An OS"}
    packages = {"torch": "2.15.0+cpu", "numpy": "2.4.6", "pip": "26.0"}
    return Environment(
        **{"system": {**system, **changes.pop("system", {})}, "packages": packages, **changes}
    )


def run(**changes: Any) -> Trace:
    """A trace of a run that does everything well."""
    header: dict[str, Any] = {
        "pins": PINS,
        "seeds": {"python": 1, "numpy": 1, "torch": 1},
        "environment": environment(system={"container": "docker"}),
        "loaders": ("2 workers, drawing from the stream 'shuffle'",),
        **changes,
    }
    return samples.taped(**header)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements.lock").write_text(LOCK, encoding="utf-8")
    return tmp_path


def points(trace: Trace, root: Path, *, recorded: bool = True) -> dict[str, Point]:
    store = GoldenStore(root / "golden")
    if recorded:
        samples.record(store, trace)
    golden = store.load(trace.header.run, trace.header.platform)
    return {point.key: point for point in checklist(trace, golden, root=root)}


def test_a_run_that_does_everything_well_has_no_no(root: Path) -> None:
    found = points(run(), root)
    assert len(found) == 15
    not_applicable = {key for key, p in found.items() if p.answer is Answer.NOT_APPLICABLE}
    assert not_applicable == {"cudnn", "cublas", "mixed_precision", "loss_scale"}
    assert {key for key, p in found.items() if p.answer is Answer.NO} == set()
    assert found["lock"].found == "requirements.lock: 2 installed packages have the locked version"
    assert found["certificate"].found == "2 fresh processes agreed bit for bit; calibrated"
    assert "changes, sha256:" in found["revision"].found


def test_on_a_gpu_its_libraries_are_looked_at(root: Path) -> None:
    gpu = environment(accelerator={"model": "H100", "driver": "570.1"})
    well = run(device="cuda", pins={**PINS, **CUDA}, environment=gpu)
    found = points(well, root, recorded=False)
    for key in ("cudnn", "cublas", "tf32", "hardware"):
        assert found[key].answer is Answer.YES
    assert found["hardware"].found == "H100, driver 570.1"
    badly = run(device="cuda", environment=environment())
    found = points(badly, root, recorded=False)
    for key in ("cudnn", "cublas", "tf32", "hardware"):
        assert found[key].answer is Answer.NO


@pytest.mark.parametrize(
    ("key", "changes", "words"),
    [
        ("seeds", {"seeds": {"torch": 1}}, "no seed for python, numpy"),
        ("hash_seed", {"pins": {}}, "not set"),
        ("hash_seed", {"pins": {**PINS, "PYTHONHASHSEED": "random"}}, "random"),
        ("deterministic_algorithms", {"pins": {}}, "not in force"),
        (
            "deterministic_algorithms",
            {"pins": {**PINS, "torch.use_deterministic_algorithms": "warn"}},
            "only warn",
        ),
        ("tf32", {"pins": {**PINS, "torch.float32_matmul_precision": "high"}}, "precision high"),
        (
            "data_loading",
            {"loaders": ("0 workers, drawing from the global generator",)},
            "global generator",
        ),
        ("lock", {"environment": Environment()}, "no lock file"),
        (
            "lock",
            {"environment": environment(packages={"torch": "2.14.0", "numpy": "2.4.6"})},
            "torch 2.14.0 instead of 2.15.0",
        ),
        (
            "lock",
            {"environment": environment(packages={"torch": "2.15.0", "torchvision": "1"})},
            "torchvision is not locked",
        ),
        (
            "lock",
            {"environment": environment(system={"lock": "uv.lock sha256:0"})},
            "can't be read",
        ),
        ("container", {"environment": environment()}, "none: An OS"),
        ("revision", {"revision": None}, "no commit"),
        ("revision", {"revision": Revision(commit="c" * 40, dirty=True)}, "unknown changes"),
        ("hardware", {"environment": Environment()}, "not named"),
    ],
)
def test_a_no_says_what_was_found_and_what_to_do(
    root: Path, key: str, changes: dict[str, Any], words: str
) -> None:
    point = points(run(**changes), root)[key]
    assert point.answer is Answer.NO
    assert words in point.found
    assert point.remedy


def test_a_run_without_a_golden_has_no_certificate(root: Path) -> None:
    assert points(run(), root, recorded=False)["certificate"].answer is Answer.NO


def test_other_data_than_the_goldens_is_a_no(root: Path) -> None:
    points(run(), root)
    point = points(run(data={"cifar10": {"train.bin": "0" * 64}}), root, recorded=False)["data"]
    assert point.answer is Answer.NO
    assert point.found == "other files than the golden was recorded with"


def test_without_files_the_batches_speak_for_the_data(root: Path) -> None:
    assert points(run(data={}), root)["data"].answer is Answer.NOT_APPLICABLE
    bare = run(data={})
    steps = tuple(dataclasses.replace(step, ladder={}) for step in bare.steps)
    trace = dataclasses.replace(bare, steps=steps)
    assert points(trace, root, recorded=False)["data"].answer is Answer.NO


def with_type(trace: Trace, dtype: str) -> Trace:
    value = dataclasses.replace(samples.VALUES[0], dtype=dtype)
    tape = (dataclasses.replace(samples.TAPE_STEPS[0], values=(value, *samples.VALUES[1:])),)
    return dataclasses.replace(trace, tape=tape)


def test_the_tape_tells_in_which_precision_operators_compute(root: Path) -> None:
    half = points(with_type(run(), "float16"), root, recorded=False)
    assert half["mixed_precision"].answer is Answer.YES
    assert half["loss_scale"].answer is Answer.NO
    brain = points(with_type(run(), "bfloat16"), root, recorded=False)
    assert brain["mixed_precision"].found.startswith("bfloat16")
    assert brain["loss_scale"].answer is Answer.NOT_APPLICABLE
    untaped = points(dataclasses.replace(run(), tape=()), root, recorded=False)
    assert untaped["mixed_precision"].answer is Answer.NO


def test_a_watched_scaler_records_the_scale_of_the_loss(root: Path) -> None:
    trace = with_type(run(), "float16")
    steps = tuple(
        dataclasses.replace(step, hyperparameters={"scaler.scale": Scalar.of(65536.0)})
        for step in trace.steps
    )
    found = points(dataclasses.replace(trace, steps=steps), root, recorded=False)
    assert found["loss_scale"].found == "at every step: 65536.0"


def test_a_machine_that_trained_nothing_is_asked_no_questions_about_training(root: Path) -> None:
    survey = run(origin="goldtrace.recording.survey:survey", loaders=(), data={})
    found = points(survey, root, recorded=False)
    for key in ("mixed_precision", "data_loading", "data"):
        assert found[key].answer is Answer.NOT_APPLICABLE
        assert "goldtrace doctor RUN" in found[key].found


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        (".dockerenv", "", "docker"),
        ("run/.containerenv", "", "podman"),
        ("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n", "kubepods"),
        ("proc/1/cgroup", "0::/init.scope\n", None),
        ("proc/2/cgroup", "0::/docker\n", None),
    ],
)
def test_a_container_is_known_by_what_its_engine_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: str, kind: str | None
) -> None:
    for name in ("container", "KUBERNETES_SERVICE_HOST", "APPTAINER_CONTAINER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content, encoding="utf-8")
    assert container(tmp_path).get("container") == kind


def test_the_variables_of_engines_name_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("container", "lxc")
    assert container(tmp_path) == {"container": "lxc"}
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/torch.sif")
    assert container(tmp_path) == {"container": "apptainer"}


NASTY = "<script>alert(1)</script> | a\n`pipe` *bold* [link](x) \x1b[31m # no & <"


def test_nothing_in_a_page_of_markdown_is_more_than_text() -> None:
    page = checklist_markdown(NASTY, {NASTY: NASTY}, [no("key", NASTY, NASTY, NASTY)])
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert all(line.replace("\\|", "").count("|") == 5 for line in table)
    assert not re.search(r"(?<!\\)<", page)
    assert "\x1b" not in page
    assert "1 no" in page


def test_plain_words_stay_as_they_are_and_nobody_is_mentioned() -> None:
    found = "torch 2.15.0, seeds: é\na_b @octocat #12"
    page = checklist_markdown("t", {}, [yes("lock", "lock file", found)])
    assert "| torch 2.15.0, seeds: é a\\_b @\u200boctocat #\u200b12 |" in page


def test_the_document_holds_every_point() -> None:
    [document] = checklist_document([yes("lock", "lock file in force", "requirements.lock")])
    assert document == {
        "key": "lock",
        "title": "lock file in force",
        "answer": "yes",
        "found": "requirements.lock",
        "remedy": None,
    }
