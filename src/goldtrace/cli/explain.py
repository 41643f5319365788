"""``goldtrace explain``: the diagnosis of the last failure."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.cli.progress import announce
from goldtrace.errors import ExitCode
from goldtrace.model.spec import DEVICES

if TYPE_CHECKING:
    import argparse

    from goldtrace.workflow.explaining import Explanation

_WIDTH = 110


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="say what caused the last failure of a run",
        description="Say where the last failing check of a run first differs from its golden, what "
        "class of cause that is, which operators are to blame, and what to suspect. A step without "
        "a tape is trained again to get one.",
        epilog="example: goldtrace explain transformer --reproducer /tmp/culprit",
    )
    parser.add_argument("name", metavar="RUN", help="a run, or the name of a test's golden")
    options.add_golden_dir(parser)
    options.add_json(parser)
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    parser.add_argument(
        "--reproducer",
        type=Path,
        metavar="DIR",
        help="write the culprit's actual inputs and a script that needs torch alone",
    )
    parser.add_argument(
        "--against",
        metavar="PYTHON",
        help="train under this interpreter too, and explain how it differs from this one",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Explain; 0 when nothing differs, 1 when something does."""
    from goldtrace.report.document import to_document
    from goldtrace.report.terminal.explanation import by_itself, render_explanation
    from goldtrace.store.golden import GoldenStore
    from goldtrace.workflow.explaining import (
        explain_against,
        explain_failure,
        try_reproducer,
        write_reproducer,
    )
    from goldtrace.workflow.selecting import run_named

    store = GoldenStore(arguments.golden_dir)
    root = options.root_of(arguments.golden_dir)
    spec = run_named(arguments.golden_dir, arguments.name, store, arguments.device)
    if arguments.against is not None:
        found = explain_against(
            spec, arguments.device, arguments.against, root=root, progress=announce
        )
    else:
        found = explain_failure(spec, arguments.device, store=store, root=root, progress=announce)
    options.write_json(arguments.json, to_document([_result(found, arguments.golden_dir)]))
    if found.diagnosis is None:
        print(f"{spec.name}: nothing differs")
        return ExitCode.PASS
    width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH)
    print(render_explanation(found.diagnosis, width=width))
    if arguments.reproducer is not None:
        culprit = write_reproducer(found, arguments.device, arguments.reproducer, root=root)
        script = shlex.quote(str(arguments.reproducer / "reproduce.py"))
        print(f"\n{culprit.op} by itself: python {script}")
        if (tried := try_reproducer(found, culprit, arguments.reproducer)) is not None:
            print(by_itself(tried))
    if (command := next_command(found, arguments.golden_dir)) is not None:
        print(f"\nnext  {command}")
    return ExitCode.DRIFT


def next_command(found: Explanation, golden_dir: Path = Path("golden")) -> str | None:
    """What may narrow it down further: the release of the most suspicious package that changed."""
    from goldtrace.workflow.commands import golden_option

    suspects = found.diagnosis.suspects if found.diagnosis is not None else ()
    for change in suspects:
        if " " not in change.what and change.what != "code" and change.golden and change.now:
            first, last = (version.partition("+")[0] for version in (change.golden, change.now))
            package = f"--package {change.what} --from {first} --to {last}"
            spec = found.spec
            run = spec.entry if spec.kind is spec.kind.TEST else spec.name
            return f"goldtrace bisect {shlex.quote(run)} {package}{golden_option(golden_dir)}"
    return None


def _result(found: Explanation, golden_dir: Path) -> Any:
    from goldtrace.model.verdict import RunResult
    from goldtrace.workflow.commands import record_command

    header = found.now.header
    stored = found.other is None
    return RunResult(
        name=header.run,
        device=header.device,
        platform=header.platform,
        verdict=found.comparison.verdict,
        exact=found.spec.exact,
        comparison=found.comparison,
        diagnosis=found.diagnosis,
        hint=record_command(found.spec, header.device, golden_dir) if stored else None,
    )
