"""What is committed: the lock file, the workflows, and no trace of anybody's machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
MAKE_TARGET = re.compile(r"^([a-z][a-z-]*):(?!=)", re.MULTILINE)


def tracked_files() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(
        [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def make_targets() -> set[str]:
    return set(MAKE_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def test_every_requirement_is_locked_to_one_version_and_its_hashes() -> None:
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [
        line for line in text.splitlines() if line and not line.lstrip().startswith("#")
    ]
    assert len(requirements) > 50
    for line in requirements:
        assert re.match(r"[a-z0-9-]+==[^ ]+ ", line), line
        assert " --hash=sha256:" in line, line


def test_the_lock_names_no_index_and_no_file() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|--(extra-)?index|--find-links|git\+|\s[./~][^\s]*/", text)


def test_no_tracked_file_names_a_path_of_somebodys_machine() -> None:
    # Put together here, so that this file does not name them either.
    homes = ["/" + "home/", "/" + "root/", "/" + "Users/", "/" + "work/", "/" + "opt/py"]
    registries = ["pypi" + ".org", "python" + "hosted", "download.pytorch" + ".org"]
    found = [
        f"{path.relative_to(ROOT)}: {needle}"
        for path in tracked_files()
        for needle in homes + registries
        if needle.encode() in path.read_bytes()
    ]
    assert found == []


@pytest.mark.parametrize(
    "name",
    [".github/workflows/ci.yml", ".github/workflows/newest.yml", ".gitlab-ci.yml", ".ci/run"],
)
def test_a_workflow_only_calls_targets_that_the_makefile_has(name: str) -> None:
    called = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8")))
    assert called
    assert called <= make_targets()


def test_ci_runs_the_linters_the_tests_and_the_golden_suite() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (.+)$", script, re.MULTILINE)[-3:] == ["lint", "test", "golden"]


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".github/workflows/newest.yml"])
def test_a_workflow_has_no_more_rights_than_it_needs(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "\npermissions:\n  contents: read\n\n" in text
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", action), action


def test_the_dockerfile_takes_its_base_by_a_digest_and_copies_what_is_there() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    instructions = [line.split() for line in text.splitlines() if re.match(r"[A-Z]+ ", line)]
    # No default: a digest that nobody has looked up would be an invention.
    assert instructions[0] == ["ARG", "BASE_DIGEST"]
    bases = [words[1] for words in instructions if words[0] == "FROM"]
    assert bases
    assert all(
        re.fullmatch(r"[a-z]+:[\w.-]+@(\$\{BASE_DIGEST\}|sha256:[0-9a-f]{64})", base)
        for base in bases
    )
    copied = [path for words in instructions if words[0] == "COPY" for path in words[2:-1]]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert {"requirements.lock", "src", "golden"} <= set(copied)
    ran = [words for words in instructions if words[:2] == ["RUN", "make"]]
    assert {target for words in ran for target in words[2:]} <= make_targets()
