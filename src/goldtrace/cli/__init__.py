"""The command ``goldtrace``: one file a subcommand."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from goldtrace import __version__
from goldtrace.cli import (
    accept,
    bisect,
    check,
    data,
    diff,
    doctor,
    explain,
    init,
    ledger,
    record,
    report,
    standard,
    try_,
)
from goldtrace.errors import ExitCode, GoldtraceError, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (check, record, accept, ledger, try_, bisect, diff, explain, report, doctor, data, init)


def command_line() -> argparse.ArgumentParser:
    """The parser of every subcommand and option."""
    parser = argparse.ArgumentParser(
        prog="goldtrace",
        description="Golden training runs: check, record and compare them.",
        epilog="exit status: 0 pass, 1 drift, 2 usage, 3 golden missing or unusable, "
        "4 inconclusive",
    )
    parser.add_argument("--version", action="version", version=f"goldtrace {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status, an ``ExitCode``."""
    standard.ready()
    arguments = command_line().parse_args(argv)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()  # Here, where a full disk is an error like any other.
    except GoldtraceError as error:
        if isinstance(error, RunError) and error.traceback:
            sys.stderr.write(f"{error.traceback}\n")
        sys.stderr.write(f"goldtrace: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write(
            "goldtrace: interrupted; no golden was changed but those reported as written\n"
        )
        return 130
    except BrokenPipeError:
        # Nobody reads how it goes on (2>&1 | head), and there is no answer yet.
        return int(ExitCode.INCONCLUSIVE)
    except OSError as error:
        sys.stderr.write(f"goldtrace: {error}\n")
        return int(ExitCode.INCONCLUSIVE)
    return status
