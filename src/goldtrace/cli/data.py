"""``goldtrace data``: fetch, verify and cache training data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "data",
        help="fetch, verify and cache training data",
        description="Fetch the CIFAR-10 subset of the reference runs, or verify the cached copy "
        "against its SHA-256 manifest. GOLDTRACE_DATA names the cache.",
        epilog="example: GOLDTRACE_DATA=/var/cache/goldtrace goldtrace data cifar10",
    )
    parser.add_argument("dataset", choices=["cifar10"])
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Make sure that the data is there, and say where and what."""
    from goldtrace.reference import cifar10

    directory, files = cifar10.fetch()
    for name, digest in sorted(files.items()):
        print(f"{digest}  {directory / name}")
    options.write_json(
        arguments.json,
        {"schema": 1, "dataset": arguments.dataset, "path": str(directory), "sha256": dict(files)},
    )
    return ExitCode.PASS
