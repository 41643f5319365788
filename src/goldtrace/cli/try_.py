"""``goldtrace try``: today's environment against the same with other packages."""

from __future__ import annotations

import difflib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options, probing
from goldtrace.cli.check import exit_code
from goldtrace.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from goldtrace.errors import ExitCode


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "try",
        help="train with other packages and compare, without a golden",
        description="Train with today's packages and with the same environment after a change "
        "of requirements, both on this machine, and compare the two.",
        epilog="example: goldtrace try torch==2.15.0 transformer",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="REQUIREMENT|RUN",
        help="requirements such as torch==2.15.0 or 'numpy<2'; runs or tests (default: all runs)",
    )
    parser.add_argument(
        "--requirements", metavar="LOCK", help="the pins of a lock file, or of REVISION:LOCK"
    )
    parser.add_argument(
        "--latest", action="store_true", help="let every package move to its newest release"
    )
    probing.add_to(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Train twice, show how the two differ."""
    from goldtrace.packages.locks import read_lock
    from goldtrace.report.document.upgrades import trial_document
    from goldtrace.report.terminal import render_comparison, render_failure, render_table
    from goldtrace.report.terminal.bisection import render_changes
    from goldtrace.workflow.trying import try_packages

    golden_dir = arguments.golden_dir
    names = [word for word in arguments.words if probing.is_run(word, golden_dir)]
    wanted = [requirement(word, golden_dir) for word in arguments.words if word not in names]
    if arguments.requirements is not None:
        pins = read_lock(arguments.requirements, root=options.root_of(golden_dir))
        wanted += [f"{name}=={version}" for name, version in pins.items()]
    if not wanted and not arguments.latest:
        raise UsageError(
            "nothing to try",
            expected="a requirement, --requirements LOCK or --latest",
            hint="goldtrace try torch==2.15.0",
        )
    trial = try_packages(
        probing.targets(names, arguments),
        wanted,
        probing.means(arguments),
        latest=arguments.latest,
    )
    print(f"packages: {render_changes(trial.changes)}\n")
    for result in trial.results:
        if result.comparison is not None:
            print(render_comparison(result), end="\n\n")
        elif not result.passed:
            print(render_failure(result), end="\n\n")
    print(render_table(trial.results))
    options.write_json(arguments.json, trial_document(trial))
    return exit_code(trial.results, strict=True)


def requirement(text: str, golden_dir: Path) -> str:
    """A requirement as uv reads it.

    Raises:
        UsageError: it is neither a requirement nor the name of a run, or a bare name that nobody
            knows here: a run's, mistyped, more likely than a package's.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    from goldtrace.bisect.target import BUILT_IN
    from goldtrace.store.declared import discover

    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"{text!r} is neither a requirement nor a run",
            expected="torch==2.15.0, 'numpy<2', the name of a declared run, or a test's node id",
        ) from error
    if found.specifier or found.url or _is_installed(found.name):
        return str(found)
    runs = [*BUILT_IN, *(path.parent.name for path in discover(golden_dir))]
    close = difflib.get_close_matches(text, runs, n=3, cutoff=0.5)
    raise UsageError(
        f"{text!r} is no run, and no package that is installed",
        expected="the name of a run, or a requirement with a release",
        found=f"runs of a similar name: {', '.join(close)}" if close else None,
        hint=f"'{text}>=0' asks for a package of that name",
    )


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
