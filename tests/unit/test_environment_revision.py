from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from goldtrace.environment import revision

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    (root / "train.py").write_text("lr = 0.1\n", encoding="utf-8")
    (root / ".gitignore").write_text("cache/\n", encoding="utf-8")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def test_a_clean_checkout_is_its_commit(repository):
    found = revision(repository)

    assert len(found.commit) == 40
    assert not found.dirty
    assert found.diff is None


def test_local_changes_have_a_digest_of_their_own(repository):
    digests = set()
    for text in ("lr = 0.2\n", "lr = 0.3\n"):
        (repository / "train.py").write_text(text, encoding="utf-8")
        found = revision(repository)
        assert found.dirty
        digests.add(found.diff)
        git(repository, "add", "train.py")
        assert revision(repository).diff == found.diff  # staged or not is the same code

    assert len(digests) == 2


def test_untracked_files_count_by_name_and_content(repository):
    new = repository / "model.py"
    digests = []
    for text in ("a", "b"):
        new.write_text(text, encoding="utf-8")
        digests.append(revision(repository).diff)
    new.rename(repository / "modèle.py")
    digests.append(revision(repository).diff)

    assert len({*digests}) == 3


def test_ignored_files_and_goldens_make_no_difference(repository):
    (repository / "cache").mkdir()
    (repository / "cache" / "x").write_text("x", encoding="utf-8")
    (repository / "golden" / "run").mkdir(parents=True)
    (repository / "golden" / "run" / "steps.jsonl").write_text("{}", encoding="utf-8")

    assert not revision(repository).dirty


def test_goldens_of_a_project_below_the_top_of_its_repository_make_no_difference(repository):
    project = repository / "projects" / "vision"
    (project / "golden").mkdir(parents=True)
    (project / "golden" / "x").write_text("x", encoding="utf-8")
    assert not revision(project).dirty

    (repository / "shared.py").write_text("x = 1\n", encoding="utf-8")
    assert revision(project).dirty


def test_a_link_counts_with_its_target_and_is_not_followed(repository, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("1", encoding="utf-8")
    (repository / "link").symlink_to(outside)
    before = revision(repository).diff
    outside.write_text("2", encoding="utf-8")

    assert revision(repository).diff == before


def test_the_digest_does_not_depend_on_the_settings_of_the_user(repository):
    (repository / "train.py").write_text("lr = 0.2\n", encoding="utf-8")
    before = revision(repository)
    for setting in ("diff.noprefix=true", "core.quotePath=false", "diff.context=0"):
        git(repository, "config", *setting.split("="))
    git(repository, "config", "diff.external", "false")

    assert revision(repository) == before


def test_there_is_no_revision_outside_a_repository_or_before_the_first_commit(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert revision(tmp_path / "plain") is None

    git(tmp_path / "plain", "init", "-q")
    assert revision(tmp_path / "plain") is None


def test_there_is_no_revision_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")

    assert revision(repository) is None
