"""The state of the repository that a run's code comes from."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.environment.git import ask_git
from goldtrace.model.environment import Revision

if TYPE_CHECKING:
    from collections.abc import Sequence

_GIT_SECONDS = 60
_BLOCK = 1 << 20
_WHOLE_FILE = 64 << 20
_OF_A_GOLDEN = frozenset({"header.json", "certificate.json"})

# Settings of the user that would change the text of a diff.
_PLAIN_DIFF = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
_NEUTRAL = (
    *("-c", "core.quotePath=true", "-c", "core.fsmonitor=false", "-c", "diff.noprefix=false"),
    *("-c", "diff.mnemonicPrefix=false", "-c", "diff.algorithm=myers", "-c", "diff.context=3"),
    *("-c", "diff.ignoreSubmodules=none", "-c", "diff.orderFile=/dev/null"),
)


def revision(root: Path, *, besides: Sequence[Path] = ()) -> Revision | None:
    """The commit of the repository around ``root`` and a digest of what differs from it.

    Changes of goldens do not count, wherever they are, nor does anything in ``root/golden``:
    recording a golden must not change the revision that the next one is recorded with. Nor do the
    files ``besides`` count. An untracked file of more than 64 MiB counts with its name and size
    only. ``None`` outside a repository, before the first commit, or without git.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    top = _git(root, "rev-parse", "--show-toplevel")
    if commit is None or top is None:
        return None
    base = Path(os.fsdecode(top.rstrip(b"\n")))
    left_out = (root / "golden", *(root / path for path in besides))
    places = [os.path.relpath(path.resolve(), base.resolve()) for path in left_out]
    places += [golden for golden in _goldens(base) if not golden.startswith(f"{places[0]}/")]
    excluded = (f":(exclude,literal){p}" for p in places if not p.startswith(".."))
    scope = ("--", ".", *excluded)
    diff = _git(base, *_NEUTRAL, "diff", *_PLAIN_DIFF, "HEAD", *scope)
    listed = _git(base, "ls-files", "--others", "--exclude-standard", "-z", *scope)
    if diff is None or listed is None:
        return None
    untracked = sorted(name for name in listed.split(b"\0") if name)
    dirty = bool(diff or untracked)
    return Revision(
        commit=commit.decode("ascii").strip(),
        dirty=dirty,
        diff=_digest(base, diff, untracked) if dirty else None,
    )


def _goldens(base: Path) -> list[str]:
    """The folders that hold both of the files that every golden has, from the top."""
    wanted = (f":(glob)**/{name}" for name in _OF_A_GOLDEN)
    listed = _git(base, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *wanted)
    found: dict[str, set[str]] = {}
    for path in filter(None, (listed or b"").split(b"\0")):
        folder, _, name = os.fsdecode(path).rpartition("/")
        found.setdefault(folder, set()).add(name)
    return sorted(folder for folder, names in found.items() if names >= _OF_A_GOLDEN and folder)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """The output of a git command that changes nothing; ``None`` when it fails."""
    answer = ask_git(folder, *arguments, seconds=_GIT_SECONDS)
    return answer.stdout if answer is not None and answer.returncode == 0 else None


def _digest(base: Path, diff: bytes, untracked: list[bytes]) -> str:
    total = hashlib.sha256(diff)
    for name in untracked:
        total.update(b"\0" + name + b"\0")
        total.update(_file_digest(base / os.fsdecode(name)))
    return total.hexdigest()


def _file_digest(path: Path) -> bytes:
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return hashlib.sha256(b"link " + os.fsencode(path.readlink())).digest()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _WHOLE_FILE:
            return hashlib.sha256(f"size {status.st_size}".encode()).digest()
        content = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                content.update(block)
    except OSError as error:
        return hashlib.sha256(f"unreadable {error.errno}".encode()).digest()
    return content.digest()
