"""``goldtrace report``: the faces of a report that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode, UsageError

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report",
        help="show a report.json, or the answer of a bisection, as a page",
        description="Render a report directory, a report.json or what `bisect --json` wrote: as "
        "one HTML file that opens offline, as Markdown, or as a table here.",
        epilog="example: goldtrace report golden-report --html report.html",
    )
    parser.add_argument("report", type=Path, metavar="REPORT", help="a directory or a file")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page, - for here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown, - for here")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write what is asked for; without any, print the table."""
    from jinja2 import TemplateError

    from goldtrace.report.folder import read_document
    from goldtrace.report.html import render_html
    from goldtrace.report.markdown import render_markdown
    from goldtrace.report.terminal import render_rows

    document = read_document(arguments.report)
    options.write_json(arguments.json, document)
    try:
        if arguments.html is not None:
            options.write_text(arguments.html, render_html(document))
        if arguments.markdown is not None:
            options.write_text(arguments.markdown, render_markdown(document))
        if (arguments.html, arguments.markdown, arguments.json) == (None, None, None):
            rows = document.get("runs")
            print(render_markdown(document) if rows is None else render_rows(rows))
    except (KeyError, TypeError, AttributeError, ValueError, TemplateError) as error:
        raise UsageError(
            "this report lacks what a page shows",
            where=str(arguments.report),
            expected="a document of this release of goldtrace",
            found=f"{type(error).__name__}: {error}",
        ) from error
    return ExitCode.PASS
