"""The hook of pre-commit, as pre-commit calls it: goldens are where pytest's settings say."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from laid_down import git

PROJECT = Path(__file__).parents[2]


def laid_down(repository):
    return yaml.safe_load((repository / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def published(_repository):
    return yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text())


@pytest.mark.parametrize("hooks", [laid_down, published])
@pytest.mark.parametrize("place", ["golden", "tests/goldens"])
@pytest.mark.parametrize("configured", [False, True])
def test_a_golden_without_its_entry_is_not_committed_wherever_goldens_are(
    repository, goldtrace, hooks, place, configured
):
    if configured:
        settings = f'[tool.pytest.ini_options]\ngolden_dir = "{place}"\n'
        (repository / "pyproject.toml").write_text(settings)
    assert goldtrace("init", *([] if configured else ["--golden-dir", place]))[0] == 0
    assert (repository / place / "example" / "run.toml").exists()
    transformer = repository / place / "transformer"
    shutil.copytree(PROJECT / "golden" / "transformer", transformer)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "first golden")
    (hook,) = hooks(repository)
    # No filter: pre-commit's list of files has no removed ones.
    assert hook["always_run"]
    assert "files" not in hook
    program, *arguments = shlex.split(hook["entry"])
    assert program == "goldtrace"
    assert goldtrace(*arguments)[0] == 0
    with (transformer / "cpu-portable" / "steps.jsonl").open("a") as steps:
        steps.write("\n")
    git(repository, "add", "--all")
    assert goldtrace(*arguments)[0] == 3
    shutil.rmtree(transformer)
    git(repository, "add", "--all")
    assert goldtrace(*arguments)[0] == 3


def test_where_pytest_reads_another_file_init_says_what_it_must_say(repository, goldtrace):
    (repository / "pytest.ini").write_text("[pytest]\n")
    assert "golden_dir = tests/goldens" in goldtrace("init", "--golden-dir", "tests/goldens")[1]
    (repository / "pytest.ini").write_text("[pytest]\ngolden_dir = tests/goldens\n")
    assert "golden_dir = " not in goldtrace("init")[1]
