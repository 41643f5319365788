"""Options and targets that ``try`` and ``bisect`` share."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import UsageError
from goldtrace.model.spec import DEVICES

if TYPE_CHECKING:
    from goldtrace.bisect.target import Target
    from goldtrace.model.spec import RunSpec
    from goldtrace.workflow.means import Means

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def size(text: str) -> int:
    """``20GB`` in bytes; an ``argparse`` type."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?[bB]?)", text.strip())
    unit = found.group(2).upper() if found else "?"
    if found is None or unit not in _UNITS:
        msg = f"expected a size such as 20GB, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(float(found.group(1)) * _UNITS[unit])


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options about environments, the same for both commands."""
    options.add_golden_dir(parser)
    parser.add_argument(
        "--device", choices=DEVICES, default="cpu", help="where to train (default: cpu)"
    )
    options.add_json(parser)
    parser.add_argument(
        "--keep",
        type=size,
        default=None,
        metavar="SIZE",
        help="environments that stay for the next time (default: 20GB)",
    )
    parser.add_argument(
        "--no-uv-cache",
        action="store_true",
        help="keep nothing that was downloaded: with --keep 0 for a small disk",
    )
    parser.add_argument(
        "--allow-build", action="store_true", help="build packages that have no wheel"
    )
    parser.add_argument("--pre", action="store_true", help="pre-releases too")
    parser.add_argument(
        "--workspace", type=Path, metavar="DIR", help="where environments and traces are kept"
    )


def means(arguments: argparse.Namespace, **further: Any) -> Means:
    """What the options say about environments."""
    from goldtrace.workflow.means import DEFAULT_KEEP, Means, default_directory

    return Means(
        directory=(arguments.workspace or default_directory()).absolute(),
        keep=DEFAULT_KEEP if arguments.keep is None else arguments.keep,
        cache=not arguments.no_uv_cache,
        builds=arguments.allow_build,
        prereleases=arguments.pre,
        progress=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        **further,
    )


def is_run(text: str, golden_dir: Path) -> bool:
    """Whether a word on the command line names a declared run or a test."""
    from goldtrace.bisect.target import BUILT_IN

    return "::" in text or text in BUILT_IN or (golden_dir / text / "run.toml").is_file()


def targets(names: list[str], arguments: argparse.Namespace) -> list[Target]:
    """The runs and tests that were named; all declared runs of the device if none was.

    Raises:
        UsageError: there is no such run.
    """
    from goldtrace.bisect.target import BUILT_IN, Target
    from goldtrace.workflow.selecting import select

    golden_dir, device = arguments.golden_dir, arguments.device
    root = options.root_of(golden_dir)
    # What bisect and try are told to write is no part of the code that they ask about.
    given = (arguments.json, getattr(arguments, "markdown", None))
    written = tuple(path.absolute() for path in given if path is not None and str(path) != "-")
    others: list[RunSpec | str] = []
    declared = []
    for name in names:
        if "::" in name:
            others.append(name)
        elif name in BUILT_IN and not (golden_dir / name / "run.toml").is_file():
            others.append(BUILT_IN[name])
        else:
            declared.append(name)
    found = [Target(run=run, device=device, root=root, written=written) for run in others]
    if declared or not names:
        chosen = select(golden_dir, declared, (device,))
        found += [Target(run=spec, device=device, root=root, written=written) for spec, _ in chosen]
    if not found:
        raise UsageError(f"no run is declared for {arguments.device}")
    return found
