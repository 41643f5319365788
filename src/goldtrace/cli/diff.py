"""``goldtrace diff``: compare two traces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.cli.progress import announce
from goldtrace.errors import ExitCode, GoldenError, UsageError
from goldtrace.model.spec import DEVICES

if TYPE_CHECKING:
    import argparse

    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import RunResult


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help="compare two traces, or a run with its compiled self",
        description="Compare two traces or goldens: directories that hold header.json and "
        "steps.jsonl. The first stands for the golden. With --paired, train a declared run twice, "
        "eager and with its models compiled by torch.compile, and compare these.",
        epilog="example: goldtrace diff golden/transformer/cpu-portable /tmp/other/cpu-portable; "
        "goldtrace diff --paired transformer --device cuda",
    )
    parser.add_argument(
        "traces", nargs="*", type=Path, metavar="TRACE", help="two directories; or one file"
    )
    parser.add_argument(
        "--textconv",
        action="store_true",
        help="print one file of a golden as lines that git can compare: "
        'git config diff.goldtrace.textconv "goldtrace diff --textconv"',
    )
    parser.add_argument("--paired", metavar="RUN", help="a declared run, eager against compiled")
    parser.add_argument(
        "--no-calibrate",
        action="store_true",
        help="with --paired: don't measure how the run amplifies rounding; any bit is drift",
    )
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="with --paired (default: cpu)"
    )
    options.add_golden_dir(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Compare and show; 0 when every bit agrees or only rounding differs, 1 otherwise."""
    from goldtrace.report.document import to_document
    from goldtrace.report.terminal import render_comparison

    wanted = 0 if arguments.paired else 1 if arguments.textconv else 2
    if len(arguments.traces) != wanted:
        raise UsageError(
            "the wrong number of paths",
            expected="two directories of traces, or --textconv and one file, or --paired RUN",
            found=" ".join(map(str, arguments.traces)) or "nothing",
            hint="goldtrace diff --help",
        )
    if arguments.textconv:
        return _print_file(arguments.traces[0])
    result = _paired(arguments) if arguments.paired else _stored(*arguments.traces)
    print(render_comparison(result))
    options.write_json(arguments.json, to_document([result]))
    return ExitCode.PASS if result.passed else ExitCode.DRIFT


def _stored(golden_folder: Path, current_folder: Path) -> RunResult:
    from goldtrace.compare import compare_traces, course_of
    from goldtrace.environment import changes
    from goldtrace.model.verdict import RunResult

    golden, current = read_trace(golden_folder), read_trace(current_folder)
    comparison = compare_traces(
        golden, current, tolerance={}, environment_changes=changes(golden.header, current.header)
    )
    return RunResult(
        name=current.header.run,
        device=current.header.device,
        platform=current.header.platform,
        verdict=comparison.verdict,
        comparison=comparison,
        course=course_of(golden, current, comparison),
        origin=current.header.origin,
    )


def _paired(arguments: argparse.Namespace) -> RunResult:
    from goldtrace.workflow.pairing import compare_compiled
    from goldtrace.workflow.selecting import select

    [(spec, device)] = select(arguments.golden_dir, [arguments.paired], [arguments.device])
    return compare_compiled(
        spec,
        device,
        root=options.root_of(arguments.golden_dir),
        calibrated=not arguments.no_calibrate,
        progress=announce,
    )


def _print_file(path: Path) -> ExitCode:
    from goldtrace.report.golden_text import as_text

    try:
        text = as_text(path.read_bytes())
    except OSError as error:
        raise UsageError("the file can't be read", where=str(path), found=str(error)) from error
    sys.stdout.buffer.write(text)
    return ExitCode.PASS


def read_trace(directory: Path) -> Trace:
    """The trace in a directory.

    Raises:
        UsageError: there is none.
        GoldenError: it is damaged.
    """
    from goldtrace.model.codec import decode_trace, read_files

    try:
        files = read_files(directory)
    except OSError as error:
        raise UsageError(
            "no trace here",
            where=str(directory),
            expected="a directory with header.json and steps.jsonl",
            found=f"{error.strerror}: {error.filename}",
            hint=_below(directory),
        ) from error
    try:
        return decode_trace(files)
    except GoldenError as error:
        # Which of the two traces it is.
        error.where = str(directory / (error.where or ""))
        raise


def _below(directory: Path) -> str | None:
    """The traces that a directory holds, as that of a run or of a report does."""
    from goldtrace.model.codec import HEADER

    found = sorted(header.parent for header in directory.glob(f"*/{HEADER}"))
    return f"name one of those in it: {', '.join(map(str, found))}" if found else None
