"""``goldtrace init``: lay down a first run, workflows and settings in a repository."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import argparse

    from goldtrace.scaffold import Plan


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "init",
        help="lay down a first run, workflow files and settings in this repository",
        description="Declare a run for a training function, or for an example where none is named; "
        "add workflow files, .gitattributes, a pre-commit hook and what pytest has to know. "
        "Nothing that is there is overwritten, and a second call changes nothing.",
        epilog="example: goldtrace init mypackage.training:train --github",
    )
    parser.add_argument(
        "entry",
        nargs="?",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="the training function, called with the run; it is looked up, not imported",
    )
    parser.add_argument("--name", metavar="NAME", help="the run's name (default: from the module)")
    parser.add_argument("--github", action="store_true", help="a workflow for GitHub Actions")
    parser.add_argument("--gitlab", action="store_true", help="a pipeline for GitLab")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, write nothing")
    options.add_golden_dir(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Plan, show, write."""
    from goldtrace.scaffold import Request, apply, plan
    from goldtrace.scaffold.services import Service
    from goldtrace.store.names import is_name

    golden = PurePosixPath(arguments.golden_dir.as_posix())
    if not golden.parts or not all(map(is_name, golden.parts)):
        raise UsageError(
            "no place for goldens",
            expected="--golden-dir with a plain path below the current directory",
            found=str(golden),
        )
    planned = plan(
        Request(
            root=Path.cwd(),
            golden=str(golden),
            entry=arguments.entry,
            name=arguments.name,
            services=tuple(s for s in Service if getattr(arguments, s.value)),
        )
    )
    print(_shown(planned))
    if not arguments.dry_run:
        apply(planned)
    options.write_json(arguments.json, _document(planned))
    return ExitCode.PASS


def _shown(plan: Plan) -> str:
    width = max(len(change.path) for change in plan.changes)
    lines = [
        f"  {change.action.value:<10} {change.path:<{width}}  {change.purpose}"
        for change in plan.changes
    ]
    notes = [f"{c.path}: {c.note}" for c in plan.changes if c.note is not None]
    for note in (*notes, *plan.notes):
        lines += ["", *(f"  {line}" for line in f"note: {note}".rstrip().splitlines())]
    lines += ["", "next"]
    for command, why in plan.next_commands:
        # Each on a line of its own, to be pasted: zsh takes no comment after a command.
        lines += [f"  {command}", f"      {why}"]
    return "\n".join(lines)


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "schema": 1,
        "changes": [
            {"path": c.path, "action": c.action.value, "purpose": c.purpose, "note": c.note}
            for c in plan.changes
        ],
        "notes": list(plan.notes),
        "next": [command for command, _ in plan.next_commands],
    }
