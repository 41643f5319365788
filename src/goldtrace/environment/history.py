"""What a folder held at an earlier commit, read from git without checking anything out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from goldtrace.environment.git import ask_git
from goldtrace.errors import UsageError

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

_REGULAR = (b"100644", b"100755")
_FETCH = (
    "fetch the branch and its history first: git fetch origin BRANCH; "
    "in CI: fetch-depth: 0 (GitHub), GIT_DEPTH: 0 (GitLab)"
)


def base_commit(root: Path, base: str | None) -> str | None:
    """The commit at which this branch left ``base``; without ``base`` the current commit.

    ``None`` without ``base`` where there is no commit, no repository or no git.

    Raises:
        UsageError: there is no such revision, or the history that leads to it is not here.
    """
    if base is None:
        head = ask_git(root, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
        return head.stdout.decode("ascii").strip() if head and head.returncode == 0 else None
    # After "--end-of-options" a name that begins with a dash is no option.
    commit = ask_git(
        root, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{base}^{{commit}}"
    )
    if commit is None or commit.returncode != 0:
        raise UsageError(
            f"git knows no revision {base!r}",
            where=str(root),
            expected="a branch, tag or commit",
            hint=_FETCH,
        )
    found = ask_git(root, "merge-base", "HEAD", commit.stdout.decode("ascii").strip())
    if found is None or found.returncode != 0:
        raise UsageError(
            f"git finds no commit that this branch and {base!r} have in common",
            where=str(root),
            expected="the history of both",
            hint=_FETCH,
        )
    return found.stdout.decode("ascii").strip()


def files_at(root: Path, commit: str, folder: str) -> dict[str, bytes]:
    """The regular files below ``root/folder`` at a commit, by their path below ``folder``.

    Raises:
        UsageError: git cannot read them.
    """
    listed = _answer(ask_git(root, "ls-tree", "-r", "-z", commit, "--", f"{folder}/"), root)
    names: list[tuple[str, bytes]] = []
    for entry in filter(None, listed.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        mode, kind, blob = facts.split()
        if kind == b"blob" and mode in _REGULAR:
            names.append((os.fsdecode(name).removeprefix(f"{folder}/"), blob))
    asked = b"".join(blob + b"\n" for _, blob in names)
    answer = _answer(ask_git(root, "cat-file", "--batch", given=asked), root)
    files: dict[str, bytes] = {}
    place = 0
    for path, _ in names:
        end = answer.index(b"\n", place)
        size = int(answer[place:end].rsplit(b" ", 1)[1])
        files[path] = answer[end + 1 : end + 1 + size]
        place = end + 1 + size + 1
    return files


def _answer(done: subprocess.CompletedProcess[bytes] | None, root: Path) -> bytes:
    if done is None or done.returncode != 0:
        found = "no git" if done is None else done.stderr.decode("utf-8", "replace").strip()
        raise UsageError("git cannot read the goldens of the base", where=str(root), found=found)
    return done.stdout
