"""Workflow files for GitHub and GitLab, from templates."""

from __future__ import annotations

import enum
import json
import re
import sys
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from goldtrace.scaffold.change import Action, Change, read, whole_file
from goldtrace.scaffold.git import ask, default_branch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GITHUB = ".github/workflows/golden.yml"
GITLAB = ".gitlab/golden.yml"
GITLAB_ROOT = ".gitlab-ci.yml"
_INCLUDE = f"include:\n  - local: {GITLAB}\n"


class Service(enum.Enum):
    """Who runs the workflow."""

    GITHUB = "github"
    GITLAB = "gitlab"


def detect(root: Path) -> tuple[Service, ...]:
    """The services that the remotes name, else those whose files are there."""
    remotes = (ask(root, "remote", "-v") or "").splitlines()
    hosts = {_host(line.split()[1]) for line in remotes if len(line.split()) > 1}
    named = tuple(service for service in Service if any(service.value in host for host in hosts))
    if named:
        return named
    files = {Service.GITHUB: ".github", Service.GITLAB: GITLAB_ROOT}
    return tuple(service for service, name in files.items() if (root / name).exists())


def workflow(service: Service, root: Path, golden: str) -> tuple[Change, ...]:
    """The files of one service."""
    values = {
        "install": install_commands(root, service),
        "branch": (json.dumps(default_branch(root)),),  # JSON's strings are YAML's
        "golden": (golden,),
        # The Python that records the golden is the one that should check it.
        "python": (f"{sys.version_info[0]}.{sys.version_info[1]}",),
    }
    if service is Service.GITHUB:
        return (_from_template("github.yml", GITHUB, root, values),)
    return _from_template("gitlab.yml", GITLAB, root, values), _include(root)


def install_commands(root: Path, service: Service) -> tuple[str, ...]:
    """How a fresh machine gets the project and goldtrace, from the files that the project has."""
    project = read(root, "pyproject.toml") or ""
    if (root / "uv.lock").is_file():
        commands = ["pip install uv", "uv sync --locked --all-groups", _ACTIVATE[service]]
        told: tuple[str, ...] = (project,)
        install = "uv pip install"
    else:
        lists = [name for name in _REQUIREMENTS if (root / name).is_file()]
        commands = [f"pip install -r {name}" for name in lists]
        told = (project, *(read(root, name) or "" for name in lists))
        install = "pip install"
        if re.search(r"^\[(project|build-system)\]", project, re.MULTILINE):
            commands.append("pip install .")
    if not any(re.search(r"\bgoldtrace\b(?!\s*\])", _requirements(text)) for text in told):
        commands.append(f"{install} goldtrace")
    return tuple(commands)


# On GitHub each step has a shell of its own.
_ACTIVATE = {
    Service.GITHUB: 'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"',
    Service.GITLAB: ". .venv/bin/activate",
}

_REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def _requirements(text: str) -> str:
    """The lines that may name a package to install: no comments, no tables of settings."""
    return "\n".join(
        line for line in text.splitlines() if not re.match(r"\s*(#|\[tool\b|golden_)", line)
    )


def _host(url: str) -> str:
    """The host of ``https://host/path``, ``ssh://git@host/path`` or ``git@host:path``."""
    if "://" in url:
        return urlsplit(url).hostname or ""
    return url.partition(":")[0].rpartition("@")[2].lower() if ":" in url else ""


def _from_template(
    name: str, path: str, root: Path, values: Mapping[str, tuple[str, ...]]
) -> Change:
    text = resources.files(__package__).joinpath("templates", name).read_text("utf-8")
    for key, lines in values.items():
        text = _insert(text, f"@{key}@", lines)
    return whole_file(
        root,
        path,
        text,
        purpose="checks the goldens of every change",
        otherwise="it is there and differs; move it away to have it written anew",
    )


def _insert(text: str, place: str, lines: tuple[str, ...]) -> str:
    """The text with ``lines`` in a place, the further ones indented like the first."""
    done = []
    for line in text.splitlines(keepends=True):
        indent = line[: len(line) - len(line.lstrip())]
        done.append(line.replace(place, f"\n{indent}".join(lines)))
    return "".join(done)


def _include(root: Path) -> Change:
    before = read(root, GITLAB_ROOT)
    purpose = f"includes {GITLAB}"
    if before is None:
        return Change(path=GITLAB_ROOT, action=Action.CREATE, purpose=purpose, after=_INCLUDE)
    if GITLAB in before:
        return Change(path=GITLAB_ROOT, action=Action.UNCHANGED, purpose=purpose, before=before)
    note = f"it has a pipeline already; add to it:\n{_INCLUDE}"
    return Change(path=GITLAB_ROOT, action=Action.LEFT, purpose=purpose, before=before, note=note)
