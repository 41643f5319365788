"""``goldtrace bisect``: which package, and which release of it, moved a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options, probing
from goldtrace.errors import ExitCode, UsageError
from goldtrace.model.upgrade import Severity

if TYPE_CHECKING:
    import argparse
    from concurrent.futures import Executor

    from goldtrace.bisect.target import Target
    from goldtrace.model.upgrade import Bisection
    from goldtrace.packages.locks import Pins
    from goldtrace.workflow.means import Means

_UNTIL = [severity.value for severity in Severity if severity is not Severity.NONE]


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bisect",
        help="find the package and the release that moved a run",
        description="Train in one environment after the other until the change is between two "
        "neighbouring releases. Finished probes are kept: the same command goes on after an "
        "interruption, and answers at once the second time.",
        epilog="example: goldtrace bisect transformer --package torch --from 2.4.0 --to 2.15.0",
    )
    parser.add_argument("target", metavar="RUN", help="a declared run, or a test's node id")
    parser.add_argument("--package", metavar="NAME", help="the package whose releases are tried")
    parser.add_argument("--from", dest="first", metavar="VERSION", help="its good release")
    parser.add_argument("--to", dest="last", metavar="VERSION", help="its bad release")
    parser.add_argument("--all", action="store_true", help="every change point, not just one")
    parser.add_argument("--from-lock", metavar="LOCK", help="a lock file, or REVISION:LOCK")
    parser.add_argument("--to-lock", metavar="LOCK", help="the lock file that moved the run")
    parser.add_argument("--from-date", metavar="DATE", help="the requirements as of this day")
    parser.add_argument("--to-date", metavar="DATE", help="a later day, or today")
    parser.add_argument(
        "--requirements",
        type=Path,
        metavar="FILE",
        help="what the dates resolve (default: the project's pyproject.toml)",
    )
    parser.add_argument(
        "--until",
        choices=_UNTIL,
        default=_UNTIL[0],
        help="the smallest difference that counts (default: rounding, any bit)",
    )
    parser.add_argument(
        "--jobs", type=options.at_least(1), default=1, metavar="N", help="probes side by side"
    )
    parser.add_argument(
        "--executor",
        metavar="dask://HOST:PORT",
        help="run the probes on a Dask cluster whose workers share the workspace's file system",
    )
    parser.add_argument(
        "--no-ahead",
        action="store_true",
        help="don't build the environments that may come next while one trains",
    )
    parser.add_argument(
        "--no-confirm", action="store_true", help="don't train the final pair once more"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what was found out before")
    parser.add_argument("--plan", action="store_true", help="say what would be probed, and stop")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a page for an issue")
    probing.add_to(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Search, show the change points; 0 if there is none, 1 if there are, 4 if it can't be told."""
    from goldtrace.report.document.upgrades import bisection_document
    from goldtrace.report.markdown.upstream import render_bisection_markdown
    from goldtrace.report.terminal.bisection import render_bisection

    (target,) = probing.targets([arguments.target], arguments)
    thrifty = arguments.no_ahead or arguments.keep == 0 or arguments.no_uv_cache
    executor = cluster(arguments.executor) if arguments.executor is not None else None
    means = probing.means(
        arguments,
        jobs=arguments.jobs,
        executor=executor,
        ahead=not thrifty,
        fresh=arguments.fresh,
        confirm=not arguments.no_confirm,
        until=Severity(arguments.until),
    )
    if arguments.plan:
        return plan(target, arguments, means)
    bisection = search(target, arguments, means)
    print(render_bisection(bisection))
    options.write_json(arguments.json, bisection_document(bisection))
    if arguments.markdown is not None:
        options.write_text(arguments.markdown, render_bisection_markdown(bisection))
    if not bisection.conclusive:
        return ExitCode.INCONCLUSIVE
    return ExitCode.DRIFT if bisection.change_points or bisection.causes else ExitCode.PASS


def search(target: Target, arguments: argparse.Namespace, means: Means) -> Bisection:
    """Carry out the one of the three kinds of bisection that the options name.

    Raises:
        UsageError: they name none, or several.
    """
    from goldtrace.workflow.bisecting import bisect_package, bisect_pins

    check_kind(arguments)
    if arguments.package is not None:
        return bisect_package(
            target,
            arguments.package,
            means,
            first=arguments.first,
            last=arguments.last,
            everything=arguments.all,
        )
    old, new, names = ends(target.root, arguments, means)
    return bisect_pins(target, old, new, means, names=names)


def check_kind(arguments: argparse.Namespace) -> None:
    """Whether the options name one kind of bisection, with all that it needs.

    Raises:
        UsageError: they name none, or several, or half of one.
    """
    kinds = (arguments.package, arguments.from_lock, arguments.from_date)
    half = (arguments.package is not None and arguments.first is None) or (
        arguments.from_lock is not None and arguments.to_lock is None
    )
    if half or sum(kind is not None for kind in kinds) != 1:
        raise UsageError(
            "what is to be bisected?",
            expected="--package NAME --from A [--to B], --from-lock OLD --to-lock NEW, or "
            "--from-date DAY [--to-date DAY]",
            hint="goldtrace bisect --help",
        )


def ends(
    root: Path, arguments: argparse.Namespace, means: Means
) -> tuple[Pins, Pins, tuple[str, str]]:
    """The two lists of packages that lock files or dates stand for, and their names."""
    from goldtrace.packages.locks import read_lock, read_requirements
    from goldtrace.workflow.bisecting import pins_at

    if arguments.from_lock is not None:
        names = (arguments.from_lock, arguments.to_lock)
        old, new = (read_lock(name, root=root) for name in names)
    else:
        names = (arguments.from_date, arguments.to_date or "today")
        lines = read_requirements(arguments.requirements or root / "pyproject.toml")
        old, new = (pins_at(date, lines, root, means) for date in names)
    return old, new, names


def cluster(address: str) -> Executor:
    """The executor of a Dask cluster; it starts a probe again whose worker dies.

    Raises:
        UsageError: another kind of address, or ``distributed`` isn't installed.
    """
    scheme, _, place = address.partition("://")
    if scheme != "dask" or not place:
        raise UsageError(
            "no such executor", expected="dask://HOST:PORT of a Dask scheduler", found=address
        )
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "Dask isn't installed", found=str(error), hint="pip install 'goldtrace[dask]'"
        ) from error
    try:
        client = Client(f"tcp://{place}", timeout=10, set_as_default=False)
    except OSError as error:
        raise UsageError("no Dask scheduler answers", where=address, found=str(error)) from error
    executor: Executor = client.get_executor(retries=3)
    return executor


def plan(target: Target, arguments: argparse.Namespace, means: Means) -> ExitCode:
    """Say what a bisection would do."""
    from goldtrace.workflow.bisecting import plan_package, plan_pins

    check_kind(arguments)
    if arguments.package is not None:
        planned = plan_package(
            target, arguments.package, means, first=arguments.first, last=arguments.last
        )
        what = "releases"
        count = f"{'for each change point ' if arguments.all else ''}without skips"
    else:
        old, new, _ = ends(target.root, arguments, means)
        planned = plan_pins(old, new)
        what = "package changes"
        count = "for each package that is named, and those among its releases"
    print(f"{len(planned.candidates)} {what}: {', '.join(planned.candidates)}")
    print(f"at most {planned.probes} probes {count}")
    if means.confirm:
        print("and two more to confirm each change, with a third that captures its operator")
    print(f"about {planned.bytes_each / 10**9:.1f} GB an environment, as large as this one")
    print(f"{means.keep / 10**9:.0f} GB of environments stay in {means.directory}")
    document = {
        "schema": 1,
        "candidates": list(planned.candidates),
        "probes": planned.probes,
        "bytes_each": planned.bytes_each,
    }
    options.write_json(arguments.json, document)
    return ExitCode.PASS
