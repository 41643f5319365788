"""``goldtrace ledger``: who changed a golden, when and why; and the proof of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import argparse

    from goldtrace.store.golden import GoldenStore


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ledger",
        help="show the history of the goldens, or prove that every change has its entry",
        description="Show who changed a golden, when and why. With --verify, fail a change of "
        "the golden directory that no ledger entry accounts for: exit status 3.",
        epilog="example: goldtrace ledger --verify --base origin/main",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="whose history (default: all)")
    options.add_golden_dir(parser)
    options.add_json(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--verify", action="store_true", help="hold the goldens against git")
    action.add_argument(
        "--remove",
        metavar="RUN[/PLATFORM]",
        help="remove goldens, and write down in removed.jsonl that they are gone",
    )
    parser.add_argument(
        "--base",
        metavar="REV",
        help="the branch that this one is to be merged into (default: the current commit)",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for --remove")
    options.add_in_ci(parser)
    parser.set_defaults(run=run, dry_run=False)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show, verify or remove."""
    from goldtrace.store.golden import GoldenStore

    if arguments.base is not None and not arguments.verify:
        raise UsageError("--base belongs to --verify", hint="goldtrace ledger --verify --base REV")
    if arguments.runs and (arguments.verify or arguments.remove):
        raise UsageError("--verify looks at every golden, and --remove names its own")
    store = GoldenStore(arguments.golden_dir.absolute())
    if arguments.verify:
        return _verify(store, arguments)
    if arguments.remove is not None:
        from goldtrace.workflow.auditing import remove

        options.require_writing_goldens(arguments, "ledger --remove")
        root = options.root_of(arguments.golden_dir)
        for golden in remove(store, arguments.remove, root=root, reason=arguments.reason):
            print(f"removed: {golden}")
        return ExitCode.PASS
    return _show(store, arguments)


def _verify(store: GoldenStore, arguments: argparse.Namespace) -> ExitCode:
    from goldtrace.workflow.auditing import audit

    found = audit(store, root=options.root_of(arguments.golden_dir), base=arguments.base)
    for finding in found.findings:
        print(f"{finding.where}: {finding.what}\n  next: {finding.hint}")
    for note in found.notes:
        print(f"note: {note}")
    against = f"against {found.base[:12]}" if found.base else "without a commit to compare with"
    count = f"{found.goldens} golden{'' if found.goldens == 1 else 's'}"
    verdict = (
        f"{len(found.findings)} not accounted for"
        if found.findings
        else "every change has its entry"
    )
    print(f"{count} {against}: {verdict}")
    options.write_json(
        arguments.json,
        {
            "schema": 1,
            "base": found.base,
            "goldens": found.goldens,
            "findings": [
                {"where": each.where, "what": each.what, "hint": each.hint}
                for each in found.findings
            ],
            "notes": list(found.notes),
        },
    )
    return ExitCode.UNUSABLE if found.findings else ExitCode.PASS


def _show(store: GoldenStore, arguments: argparse.Namespace) -> ExitCode:
    from goldtrace.report.text import plain
    from goldtrace.workflow.commands import goldens_above

    if not store.root.is_dir():
        raise UsageError(
            "there is no such folder of goldens",
            where=str(store.root),
            hint=goldens_above(store.root),
        )
    known = store.runs()
    unknown = [name for name in arguments.runs if name not in known]
    if unknown:
        raise UsageError(f"no golden of {unknown[0]!r}", expected=", ".join(known) or "a golden")
    rows: list[dict[str, Any]] = []
    for name in arguments.runs or known:
        for platform in store.platforms(name):
            golden = store.load(name, platform)
            for entry in golden.ledger if golden is not None else ():
                texts = (entry.when, entry.who, entry.reason, entry.moved)
                print(f"{name}/{platform}  {'  '.join(map(plain, texts))}")
                rows.append(
                    {
                        "name": name,
                        "platform": platform,
                        "when": entry.when,
                        "who": entry.who,
                        "reason": entry.reason,
                        "moved": entry.moved,
                        "golden": entry.golden,
                        "previous": entry.previous,
                    }
                )
    options.write_json(arguments.json, {"schema": 1, "entries": rows})
    return ExitCode.PASS
