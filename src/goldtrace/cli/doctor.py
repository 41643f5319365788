"""``goldtrace doctor``: environment, pins in force, reproducibility checklist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.checklist.training import SURVEY
from goldtrace.cli import options
from goldtrace.errors import ExitCode, UsageError
from goldtrace.model.spec import DEVICES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from goldtrace.model.checklist import Point
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Header


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="show the environment, the pins in force and the reproducibility checklist",
        description="Start a process as a run would be started, apply and verify the profile in "
        "it, and show what it found. With RUN, train it, and hold the checklist against its "
        "golden. A pin that is not in force is named, with exit status 4.",
        epilog="example: goldtrace doctor transformer --export checklist.md",
    )
    parser.add_argument("name", nargs="?", metavar="RUN", help="a declared run to train")
    options.add_golden_dir(parser)
    parser.add_argument(
        "--profile", help="without RUN, the profile to look at (default: cpu-portable)"
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    options.add_json(parser)
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the checklist as Markdown, to keep beside a checkpoint",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Ask a pinned child process and show its answer."""
    from rich.console import Console

    from goldtrace.checklist import checklist
    from goldtrace.determinism import profile_for
    from goldtrace.determinism.unportable import PLATFORM, UNPORTABLE
    from goldtrace.launch import launch
    from goldtrace.report.document.check import checklist_document
    from goldtrace.store.golden import GoldenStore

    spec = _spec(arguments)
    root = options.root_of(arguments.golden_dir)
    profile = profile_for(spec.profile, arguments.device)
    trace = launch(spec, arguments.device, root=root)
    header = trace.header
    golden = GoldenStore(arguments.golden_dir).load(header.run, header.platform)
    points = checklist(trace, golden, root=root)
    console = Console(highlight=False)
    environment = header.environment
    sections = {
        "system": environment.system,
        "libraries": environment.libraries,
        "accelerator": environment.accelerator,
        "packages that compute": {
            name: version
            for name, version in environment.packages.items()
            if name in ("goldtrace", "torch", "torchvision", "torcheval", "numpy", "triton")
        },
    }
    console.print(f"platform  {header.platform}", style="bold")
    for title, facts in sections.items():
        if facts:
            console.print(_facts(title, facts))
    console.print(_pins(profile.pins, header.pins))
    if header.platform == PLATFORM:
        reasons = {operator.name: operator.reason for operator in UNPORTABLE}
        console.print(_facts("operators that no pin makes portable", reasons))
    if header.canaries:
        console.print(_facts("canaries", header.canaries))
    if header.revision is not None:
        dirty = f", dirty (diff {header.revision.diff})" if header.revision.dirty else ", clean"
        console.print(f"revision  {header.revision.commit}{dirty}")
    console.print(_points(points))
    if arguments.export is not None:
        options.write_text(arguments.export, _page(header, points))
    document = {
        "schema": 1,
        "checklist": checklist_document(points),
        "platform": header.platform,
        "pins": dict(header.pins),
        "canaries": dict(header.canaries),
        **{title.replace(" ", "_"): dict(facts) for title, facts in sections.items()},
        "packages": dict(environment.packages),
    }
    options.write_json(arguments.json, document)
    return ExitCode.PASS


def _spec(arguments: argparse.Namespace) -> RunSpec:
    """The run to look at, or one that trains nothing."""
    from goldtrace.model.spec import RunSpec
    from goldtrace.workflow.selecting import select

    if arguments.name is None:
        profile = arguments.profile or "cpu-portable"
        return RunSpec(name="doctor", entry=SURVEY, profile=profile)
    if arguments.profile is not None:
        raise UsageError("a run has a profile of its own", found=f"--profile {arguments.profile}")
    [(spec, _)] = select(arguments.golden_dir, [arguments.name], [arguments.device])
    return spec


def _page(header: Header, points: Sequence[Point]) -> str:
    from goldtrace.report.markdown.checklist import checklist_markdown

    environment = header.environment
    facts = {
        "platform": header.platform,
        "goldtrace": environment.packages.get("goldtrace", "unknown"),
        "torch": environment.packages.get("torch", "unknown"),
        "python": environment.system.get("python", "unknown"),
    }
    if header.revision is not None:
        facts["commit"] = header.revision.commit
    title = "this machine" if header.origin == SURVEY else header.run
    return checklist_markdown(title, facts, points)


def _points(points: Sequence[Point]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from goldtrace.model.checklist import Answer

    styles = {Answer.YES: "green", Answer.NO: "bold red", Answer.NOT_APPLICABLE: "dim"}
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("reproducibility", "answer", "found"):
        table.add_column(heading, overflow="fold")
    for point in points:
        found = point.found if point.remedy is None else f"{point.found}\n→ {point.remedy}"
        answer = Text(point.answer.value, style=styles[point.answer])
        table.add_row(Text(point.title), answer, Text(found))
    return table


def _facts(title: str, facts: Any) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=True, title_justify="left")
    table.add_column(title)
    table.add_column("")
    for name, value in sorted(facts.items()):
        table.add_row(Text(name), Text(str(value)))
    return table


def _pins(pins: Any, in_force: Any) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("pin", "in force", "why", "read by"):
        table.add_column(heading, overflow="fold")
    for pin in pins:
        value = in_force.get(pin.name, "-")
        table.add_row(Text(pin.name), Text(value), Text(pin.reason), Text(", ".join(pin.read_by)))
    return table
