"""What git is told about goldens, what it knows about the repository, and the pre-commit hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.environment.git import ask_git
from goldtrace.scaffold.change import Action, Change, read

if TYPE_CHECKING:
    from pathlib import Path

ATTRIBUTES = ".gitattributes"
PRE_COMMIT = ".pre-commit-config.yaml"
DIFF_DRIVER = 'git config diff.goldtrace.textconv "goldtrace diff --textconv"'

_ABOUT_ATTRIBUTES = f"""\
# Goldens are text whose bytes count. Two of them can't be merged line by line. `git diff` shows
# their numbers, once per clone:  {DIFF_DRIVER}
"""

_REPOS = "repos:\n"
_HOOK = """\
  - repo: local
    hooks:
      - id: goldtrace-ledger
        name: every change of a golden has its ledger entry
        entry: goldtrace ledger --verify
        language: system
        pass_filenames: false
        always_run: true
"""


def attributes(root: Path, golden: str) -> Change:
    """The lines of ``.gitattributes`` for goldens; files that people write are left out."""
    lines = (
        f"{golden}/*.jsonl -text linguist-generated",
        f"{golden}/*/*/* -text -merge linguist-generated diff=goldtrace",
    )
    purpose = "goldens: bytes kept, a diff of numbers"
    before = read(root, ATTRIBUTES)
    if before is not None and set(lines) <= set(before.splitlines()):
        return Change(path=ATTRIBUTES, action=Action.UNCHANGED, purpose=purpose, before=before)
    kept = before or ""
    gap = "" if not kept else "\n" if kept.endswith("\n") else "\n\n"
    return Change(
        path=ATTRIBUTES,
        action=Action.CREATE if before is None else Action.EXTEND,
        purpose=purpose,
        before=before,
        after="".join((kept, gap, _ABOUT_ATTRIBUTES, *(f"{line}\n" for line in lines))),
    )


def pre_commit(root: Path) -> Change:
    """The hook that keeps a golden from being committed without its ledger entry.

    It always runs: where the goldens are is for pytest's settings to say, and a commit that only
    removes files has none to filter by.
    """
    purpose = "no golden without its entry in the ledger"
    before = read(root, PRE_COMMIT)
    if before is None:
        return Change(path=PRE_COMMIT, action=Action.CREATE, purpose=purpose, after=_REPOS + _HOOK)
    if "goldtrace ledger" in before:
        return Change(path=PRE_COMMIT, action=Action.UNCHANGED, purpose=purpose, before=before)
    note = f"it has hooks already; add this one below repos:\n{_HOOK}"
    return Change(path=PRE_COMMIT, action=Action.LEFT, purpose=purpose, before=before, note=note)


def ask(root: Path, *arguments: str) -> str | None:
    """What git answers; ``None`` where there is no git, no repository or no answer."""
    answer = ask_git(root, *arguments)
    if answer is None or answer.returncode != 0:
        return None
    return answer.stdout.decode("utf-8", "replace").strip() or None


def is_clone(root: Path) -> bool:
    """Whether this is within a git repository."""
    return ask(root, "rev-parse", "--is-inside-work-tree") == "true"


def is_top(root: Path) -> bool:
    """Whether services that read workflow files look here: at the top of a repository, or none."""
    prefix = ask(root, "rev-parse", "--show-prefix")
    return prefix is None


def default_branch(root: Path) -> str:
    """The branch that changes are merged into, as far as the clone knows."""
    head = ask(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD")
    if head is not None:
        return head.partition("/")[2]
    known = (ask(root, "branch", "--format", "%(refname:short)") or "").splitlines()
    return next((name for name in ("main", "master") if name in known), "main")
