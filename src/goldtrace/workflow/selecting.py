"""Which runs are meant: those that a golden directory declares, and the one that has a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.errors import UsageError
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.store.declared import RUN_FILE, discover, load_run
from goldtrace.store.failures import FailureStore
from goldtrace.workflow.commands import goldens_above

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goldtrace.store.golden import GoldenStore

_TESTS = "goldens of tests are checked and recorded by pytest"


def select(
    golden_dir: Path, names: Sequence[str], devices: Sequence[str]
) -> list[tuple[RunSpec, str]]:
    """The declared runs of a golden directory, each with those of ``devices`` that it has.

    Raises:
        UsageError: a name that no ``run.toml`` declares, a named run that has none of the devices,
            or nothing at all to run.
    """
    names = list(dict.fromkeys(names))
    specs = {spec.name: spec for spec in map(load_run, discover(golden_dir))}
    unknown = [name for name in names if name not in specs]
    if unknown or not specs:
        raise UsageError(
            f"no run {unknown[0]!r}" if unknown else "no declared runs",
            where=str(golden_dir),
            expected=", ".join(specs) or f"{golden_dir}/<run>/{RUN_FILE}",
            hint=_TESTS if specs else goldens_above(golden_dir) or f"goldtrace init; {_TESTS}",
        )
    chosen = [specs[name] for name in names] if names else list(specs.values())
    elsewhere = [spec for spec in chosen if not set(devices) & set(spec.devices)]
    if elsewhere and (names or len(elsewhere) == len(chosen)):
        # What trains nothing must not look like what was checked.
        there = ", ".join(dict.fromkeys(d for spec in elsewhere for d in spec.devices))
        raise UsageError(
            f"{elsewhere[0].name} isn't declared for this device"
            if names
            else "no run is declared for this device",
            where=str(golden_dir / elsewhere[0].name / RUN_FILE if names else golden_dir),
            expected=there,
            found=", ".join(devices),
            hint=f"--device {elsewhere[0].devices[0]}, or devices = "
            f'["{devices[0]}"] in its {RUN_FILE}',
        )
    return [
        (spec, device)
        for spec in chosen
        for device in dict.fromkeys(devices)
        if device in spec.devices
    ]


def run_named(golden_dir: Path, name: str, store: GoldenStore, device: str) -> RunSpec:
    """The declared run of this name, or the test whose failure, as it was judged, or golden has it.

    Raises:
        UsageError: nothing has this name.
    """
    declared = {spec.name: spec for spec in map(load_run, discover(golden_dir))}
    if name in declared:
        return declared[name]
    failed = FailureStore.beside(golden_dir).spec(name, device)
    if failed is not None:
        return failed
    origin = store.origins().get(name)
    if origin is None:
        known = sorted({*declared, *store.runs()})
        raise UsageError(
            f"no run {name!r}",
            where=str(golden_dir),
            expected=", ".join(known) or "a run",
            hint=None if known else goldens_above(golden_dir),
        )
    return RunSpec(name=name, entry=origin, kind=RunKind.TEST)
