"""What ``goldtrace init`` would do to a repository."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.errors import UsageError
from goldtrace.scaffold import git
from goldtrace.scaffold.change import Plan
from goldtrace.scaffold.declaration import EXAMPLE_RUN, declare_example, declare_function
from goldtrace.scaffold.entry import find_entry
from goldtrace.scaffold.services import detect, workflow
from goldtrace.scaffold.settings import settings
from goldtrace.store.declared import discover
from goldtrace.store.names import is_name

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.scaffold.change import Change
    from goldtrace.scaffold.services import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for; ``services`` is empty for whatever the repository uses."""

    root: Path
    golden: str = "golden"
    entry: str | None = None
    name: str | None = None
    services: tuple[Service, ...] = ()


def plan(request: Request) -> Plan:
    """Look at the repository, write nothing.

    Raises:
        UsageError: the entry point, the name or a file of the repository can't be used.
    """
    changes, notes, run = _run(request)
    changes.append(settings(request.root, request.golden))
    changes.append(git.attributes(request.root, request.golden))
    changes.append(git.pre_commit(request.root))
    files, more = _workflows(request)
    return Plan(
        root=request.root,
        changes=(*changes, *files),
        notes=(*notes, *more),
        next_commands=(
            *_record(run, request.golden),
            (f"pytest {shlex.quote(request.golden)}", "compare, today and after every change"),
            *_repository(request.root),
            (git.DIFF_DRIVER, "once per clone: git diff shows a golden's numbers"),
            ("pre-commit install", "once per clone: no golden without its ledger entry"),
        ),
    )


def _run(request: Request) -> tuple[list[Change], list[str], str | None]:
    """The changes for the run, what to know about them, and the run's name."""
    if request.entry is not None:
        entry = find_entry(request.entry, request.root)
        name = request.name or entry.run_name
        if not is_name(name):
            raise UsageError(
                "a run can't have this name",
                expected="letters, digits and _.,=+@[]-, with no leading dot or sign",
                found=ascii(name),
                hint=f"goldtrace init {shlex.quote(request.entry)} --name NAME",
            )
        change, notes = declare_function(request.golden, name, entry, request.root)
        return [change], notes, name
    if request.name is not None:
        raise UsageError(
            "--name names the run of a training function",
            found=f"--name {request.name} alone",
            hint=f"goldtrace init package.module:function --name {shlex.quote(request.name)}",
        )
    declared = [path.parent.name for path in discover(request.root / request.golden)]
    if declared and declared != [EXAMPLE_RUN]:
        return [], [f"runs are declared already ({', '.join(declared)}): no example is added"], None
    if declared:
        # Its files are the user's by now.
        return [], [], EXAMPLE_RUN
    return [*declare_example(request.golden, request.root)], [], EXAMPLE_RUN


def _repository(root: Path) -> list[tuple[str, str]]:
    """What the commands for a clone need first."""
    return [] if git.is_clone(root) else [("git init", "goldens are committed with the code")]


def _record(run: str | None, golden: str) -> list[tuple[str, str]]:
    if run is None:
        return []
    where = "" if golden == "golden" else f" --golden-dir {shlex.quote(golden)}"
    command = f'goldtrace record {shlex.quote(run)}{where} --reason "first golden"'
    return [(command, "train in two fresh processes and store the golden")]


def _workflows(request: Request) -> tuple[list[Change], list[str]]:
    if not git.is_top(request.root):
        return [], ["this is no top directory of a repository, where workflow files belong: none"]
    services = request.services or detect(request.root)
    if not services:
        return [], ["no workflow: neither a remote nor a file tells; --github or --gitlab does"]
    files = [
        change for service in services for change in workflow(service, request.root, request.golden)
    ]
    return files, []
