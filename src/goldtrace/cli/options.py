"""Options that several subcommands share, and where their output goes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from goldtrace.environment.ci import in_ci
from goldtrace.errors import UsageError
from goldtrace.model.spec import DEVICES
from goldtrace.store.configured import configured_golden_dir


def devices(text: str) -> tuple[str, ...]:
    """``cpu,cuda`` as a tuple; an ``argparse`` type."""
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not chosen or not set(chosen) <= set(DEVICES):
        msg = f"expected a list of {' and '.join(DEVICES)}, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return chosen


def at_least(smallest: int) -> Any:
    """An ``argparse`` type: a whole number that is not below ``smallest``."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if value < smallest:
            msg = f"expected a whole number, {smallest} or more, found {text!r}"
            raise argparse.ArgumentTypeError(msg)
        return value

    return number


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The runs, their directory and the devices."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="declared runs; default: all")
    add_golden_dir(parser)
    parser.add_argument(
        "--device",
        type=devices,
        default=("cpu",),
        metavar="cpu,cuda",
        help="devices to train on (default: cpu)",
    )


def add_golden_dir(parser: argparse.ArgumentParser) -> None:
    """Where the goldens are."""
    parser.add_argument(
        "--golden-dir",
        type=golden_dir,
        default="",  # A text, for argparse to convert when it is needed.
        metavar="DIR",
        help="the directory of goldens (default: golden_dir of pytest's settings, else golden)",
    )


def golden_dir(text: str) -> Path:
    """A directory, that of pytest's settings for an empty text; an ``argparse`` type."""
    return Path(text or configured_golden_dir(Path()))


def add_json(parser: argparse.ArgumentParser) -> None:
    """Where the answer goes as JSON."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the answer as JSON, - for standard output"
    )


def write_json(path: Path | None, document: dict[str, Any]) -> None:
    """Write ``document`` where ``--json`` says, if it says so.

    Raises:
        UsageError: the file can't be written.
    """
    if path is None:
        return
    write_text(path, json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to a file, all or nothing, or to standard output for ``-``.

    Raises:
        UsageError: the file can't be written.
    """
    if str(path) == "-":
        sys.stdout.write(text)
        return
    from goldtrace.report.writing import replace_text

    try:
        replace_text(path, text)
    except OSError as error:
        raise UsageError(
            "the answer can't be written", where=str(path), found=error.strerror
        ) from error


def add_in_ci(parser: argparse.ArgumentParser) -> None:
    """The word without which no command writes goldens under CI."""
    parser.add_argument(
        "--in-ci", action="store_true", help="allow writing although CI is set in the environment"
    )


def require_writing_goldens(arguments: argparse.Namespace, command: str) -> None:
    """Refuse to write goldens without a reason, or under CI without being told to.

    Raises:
        UsageError: there is no reason, or this is a CI job.
    """
    if not arguments.reason.strip():
        raise UsageError("an empty reason", expected="--reason 'why the golden moves'")
    if in_ci() and not (arguments.in_ci or arguments.dry_run):
        raise UsageError(
            "goldens aren't written under CI",
            expected="CI unset in the environment, or --in-ci",
            hint=f"goldtrace {command} … --in-ci",
        )


def root_of(golden_dir: Path) -> Path:
    """The project's root: where pytest's settings name this directory, else the one it is in."""
    here = Path.cwd()
    if golden_dir.absolute() == here / configured_golden_dir(here):
        return here
    return golden_dir.absolute().parent
