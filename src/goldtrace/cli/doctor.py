"""``goldtrace doctor``: environment, pins in force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="show the environment and the pins that are in force in a run",
        description="Start a process as a run would be started, apply and verify the profile in "
        "it, and show what it found. A pin that is not in force is named, with exit status 4.",
        epilog="example: goldtrace doctor --profile cpu-portable",
    )
    parser.add_argument("--profile", default="cpu-portable", help="default: cpu-portable")
    parser.add_argument("--device", choices=options.DEVICES, default="cpu", help="default: cpu")
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Ask a pinned child process and show its answer."""
    from rich.console import Console

    from goldtrace.determinism import profile_for
    from goldtrace.determinism.unportable import PLATFORM, UNPORTABLE
    from goldtrace.launch import launch
    from goldtrace.model.spec import RunSpec

    profile = profile_for(arguments.profile, arguments.device)
    spec = RunSpec(
        name="doctor", entry="goldtrace.recording.survey:survey", profile=arguments.profile
    )
    header = launch(spec, arguments.device, root=Path.cwd()).header
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
    document = {
        "schema": 1,
        "platform": header.platform,
        "pins": dict(header.pins),
        "canaries": dict(header.canaries),
        **{title.replace(" ", "_"): dict(facts) for title, facts in sections.items()},
        "packages": dict(environment.packages),
    }
    options.write_json(arguments.json, document)
    return ExitCode.PASS


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
        table.add_column(heading)
    for pin in pins:
        value = in_force.get(pin.name, "-")
        table.add_row(Text(pin.name), Text(value), Text(pin.reason), Text(", ".join(pin.read_by)))
    return table
