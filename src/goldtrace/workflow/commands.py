"""What to type next about a run: one line that a shell takes as it is, whatever the run's name."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.model.spec import RunKind
from goldtrace.store.configured import DEFAULT, configured_golden_dir

if TYPE_CHECKING:
    from goldtrace.model.spec import RunSpec


def record_command(spec: RunSpec, device: str, golden_dir: Path = Path(DEFAULT)) -> str:
    """What to type to write the golden of a run."""
    if spec.kind is RunKind.TEST:
        return _pytest(spec, f"--golden-update --golden-device {device}", golden_dir)
    place = golden_option(golden_dir)
    return f"goldtrace record {shlex.quote(spec.name)} --device {device}{place} --reason '…'"


def check_command(spec: RunSpec, device: str, golden_dir: Path = Path(DEFAULT)) -> str:
    """What to type to check a run."""
    if spec.kind is RunKind.TEST:
        return _pytest(spec, f"--golden-device {device}", golden_dir)
    return f"goldtrace check {shlex.quote(spec.name)} --device {device}{golden_option(golden_dir)}"


def explain_command(name: str, device: str, golden_dir: Path = Path(DEFAULT)) -> str:
    """What to type to have the failure of a run explained."""
    where = "" if device == "cpu" else f" --device {device}"
    return f"goldtrace explain {shlex.quote(name)}{where}{golden_option(golden_dir)}"


def _pytest(spec: RunSpec, options: str, golden_dir: Path) -> str:
    node = spec.place or spec.entry
    # Called below its root, pytest looks for goldens in the root.
    place = golden_option(golden_dir) if node == spec.entry else _named(golden_dir)
    return f"pytest {shlex.quote(node)} {options}{place}"


def golden_option(golden_dir: Path) -> str:
    """The option that names the folder of goldens, after a blank.

    It is empty where a command in the current directory looks there anyway.
    """
    here = Path.cwd()
    if golden_dir.absolute() == here / configured_golden_dir(here):
        return ""
    return _named(golden_dir)


def _named(golden_dir: Path) -> str:
    here, folder = Path.cwd(), golden_dir.absolute()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    return f" --golden-dir {shlex.quote(str(shown))}"


def goldens_above(golden_dir: Path) -> str | None:
    """The option that names a folder of goldens above the current directory, if there is one.

    It is looked for up to the top of the checkout, under the name of the one that isn't here.
    """
    here = Path.cwd()
    for above in here.parents:
        if (above / golden_dir.name).is_dir():
            return f"--golden-dir {shlex.quote(os.path.relpath(above / golden_dir.name, here))}"
        if (above / ".git").exists():
            break
    return None
