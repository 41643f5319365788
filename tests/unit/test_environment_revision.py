from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from goldtrace.environment import revision

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.environment import Revision


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


def found(root: Path) -> Revision:
    answer = revision(root)
    assert answer is not None
    return answer


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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


def test_a_clean_checkout_is_its_commit(repository: Path) -> None:
    state = found(repository)

    assert len(state.commit) == 40
    assert not state.dirty
    assert state.diff is None


def test_local_changes_have_a_digest_of_their_own(repository: Path) -> None:
    digests = set()
    for text in ("lr = 0.2\n", "lr = 0.3\n"):
        (repository / "train.py").write_text(text, encoding="utf-8")
        state = found(repository)
        assert state.dirty
        digests.add(state.diff)
        git(repository, "add", "train.py")
        assert found(repository).diff == state.diff  # staged or not is the same code

    assert len(digests) == 2


def test_untracked_files_count_by_name_and_content(repository: Path) -> None:
    new = repository / "model.py"
    digests = []
    for text in ("a", "b"):
        new.write_text(text, encoding="utf-8")
        digests.append(found(repository).diff)
    new.rename(repository / "modèle.py")
    digests.append(found(repository).diff)

    assert len({*digests}) == 3


def test_goldens_in_any_folder_make_no_difference(repository: Path) -> None:
    golden = repository / "expected" / "run" / "cpu-portable"
    golden.mkdir(parents=True)
    for name in ("header.json", "certificate.json", "steps.jsonl"):
        (golden / name).write_text("{}", encoding="utf-8")
    assert not found(repository).dirty
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "golden")
    (golden / "header.json").unlink()
    (golden / "steps.jsonl").write_text("[]", encoding="utf-8")
    assert not found(repository).dirty

    (repository / "certificate.json").write_text("{}", encoding="utf-8")
    assert found(repository).dirty


def test_ignored_files_and_goldens_make_no_difference(repository: Path) -> None:
    (repository / "cache").mkdir()
    (repository / "cache" / "x").write_text("x", encoding="utf-8")
    (repository / "golden" / "run").mkdir(parents=True)
    (repository / "golden" / "run" / "steps.jsonl").write_text("{}", encoding="utf-8")

    assert not found(repository).dirty


def test_goldens_of_a_project_below_the_top_of_its_repository_make_no_difference(
    repository: Path,
) -> None:
    project = repository / "projects" / "vision"
    (project / "golden").mkdir(parents=True)
    (project / "golden" / "x").write_text("x", encoding="utf-8")
    assert not found(project).dirty

    (repository / "shared.py").write_text("x = 1\n", encoding="utf-8")
    assert found(project).dirty


def test_a_link_counts_with_its_target_and_is_not_followed(
    repository: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("1", encoding="utf-8")
    (repository / "link").symlink_to(outside)
    before = found(repository).diff
    outside.write_text("2", encoding="utf-8")

    assert found(repository).diff == before


def test_the_digest_does_not_depend_on_the_settings_of_the_user(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 0.2\n", encoding="utf-8")
    before = revision(repository)
    for setting in ("diff.noprefix=true", "core.quotePath=false", "diff.context=0"):
        git(repository, "config", *setting.split("="))
    git(repository, "config", "diff.external", "false")

    assert revision(repository) == before


def test_there_is_no_revision_outside_a_repository_or_before_the_first_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert revision(tmp_path / "plain") is None

    git(tmp_path / "plain", "init", "-q")
    assert revision(tmp_path / "plain") is None


def test_there_is_no_revision_without_git(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    assert revision(repository) is None
