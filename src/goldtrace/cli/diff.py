"""``goldtrace diff``: compare two traces."""

from __future__ import annotations

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
    parser.add_argument("golden", type=Path, metavar="TRACE")
    parser.add_argument("current", type=Path, metavar="TRACE")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Compare and show; 0 when every bit agrees, 1 otherwise."""
    from goldtrace.compare import compare_traces, course_of
    from goldtrace.environment import changes
    from goldtrace.model.verdict import RunResult
    from goldtrace.report.document import to_document
    from goldtrace.report.terminal import render_comparison

    golden, current = read_trace(arguments.golden), read_trace(arguments.current)
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
