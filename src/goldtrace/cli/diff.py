"""``goldtrace diff``: compare two traces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import argparse

    from goldtrace.model.trace import Trace


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help="compare two traces",
        description="Compare two traces or goldens: directories that hold header.json and "
        "steps.jsonl. The first stands for the golden.",
        epilog="example: goldtrace diff golden/transformer/cpu-portable /tmp/other/cpu-portable",
    )
    parser.add_argument(
        "traces", nargs="+", type=Path, metavar="TRACE", help="two directories; or one file"
    )
    parser.add_argument(
        "--textconv",
        action="store_true",
        help="print one file of a golden as lines that git can compare: "
        'git config diff.goldtrace.textconv "goldtrace diff --textconv"',
    )
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Compare and show; 0 when every bit agrees, 1 otherwise."""
    wanted = 1 if arguments.textconv else 2
    if len(arguments.traces) != wanted:
        raise UsageError(
            "the wrong number of paths",
            expected="one file" if arguments.textconv else "two directories of traces",
            found=" ".join(map(str, arguments.traces)),
            hint="goldtrace diff --help",
        )
    if arguments.textconv:
        return _print_file(arguments.traces[0])
    from goldtrace.compare import compare_traces, course_of
    from goldtrace.environment import changes
    from goldtrace.model.verdict import RunResult
    from goldtrace.report.document import to_document
    from goldtrace.report.terminal import render_comparison

    golden, current = map(read_trace, arguments.traces)
    comparison = compare_traces(
        golden, current, tolerance={}, environment_changes=changes(golden.header, current.header)
    )
    result = RunResult(
        name=current.header.run,
        device=current.header.device,
        platform=current.header.platform,
        verdict=comparison.verdict,
        comparison=comparison,
        course=course_of(golden, current, comparison),
        origin=current.header.origin,
    )
    print(render_comparison(result))
    options.write_json(arguments.json, to_document([result]))
    return ExitCode.PASS if result.passed else ExitCode.DRIFT


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
        ) from error
    return decode_trace(files)
