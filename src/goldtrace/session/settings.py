"""What the options and the configuration file of a pytest session say about goldens."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.model.spec import DEVICES
from goldtrace.model.verdict import Verdict
from goldtrace.workflow.checking import trace_folder as trace_folder_of

if TYPE_CHECKING:
    from goldtrace.model.verdict import RunResult


class UpdateMode(enum.Enum):
    """Which goldens a session may write: what ``--golden-update`` says."""

    NONE = "none"
    MISSING = "missing"
    FAILING = "failing"
    DEFAULT = "default"
    """Failing and missing ones."""
    ALL = "all"

    def covers(self, result: RunResult) -> bool:
        """Whether the golden of a run with this result is to be written."""
        differs = result.comparison is not None and result.comparison.first is not None
        absent = result.verdict in (Verdict.MISSING, Verdict.INCOMPARABLE) and not differs
        if self is UpdateMode.NONE or result.skipped is not None:
            return False
        if self is UpdateMode.ALL:
            return True
        if absent:
            return self in (UpdateMode.MISSING, UpdateMode.DEFAULT)
        return not result.passed and self in (UpdateMode.FAILING, UpdateMode.DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The session's choices; ``golden_dir`` and ``report`` are absolute."""

    root: Path
    golden_dir: Path
    devices: tuple[str, ...]
    update: UpdateMode
    reason: str
    report: Path | None
    in_process: bool
    strict: bool
    calibrate: bool
    nearest: bool
    candidates: bool

    @property
    def proposes(self) -> bool:
        """Whether failing runs put candidate goldens into the report."""
        return self.candidates and self.report is not None and self.update is UpdateMode.NONE


_KEY = pytest.StashKey[Settings]()


def settings_of(config: pytest.Config) -> Settings:
    """The settings of this session.

    Raises:
        pytest.UsageError: a device that there is none of.
    """
    if _KEY not in config.stash:
        config.stash[_KEY] = _read(config)
    return config.stash[_KEY]


def trace_folder(settings: Settings, name: str, device: str) -> Path | None:
    """Where the trace of a run is kept for whoever reads the report."""
    return trace_folder_of(settings.report, name, device) if settings.report is not None else None


def _read(config: pytest.Config) -> Settings:
    option = config.option
    devices = option.golden_device or config.getini("golden_device") or "cpu"
    return Settings(
        root=config.rootpath,
        golden_dir=_path(config, "golden_dir") or config.rootpath / "golden",
        devices=_devices(devices),
        update=UpdateMode(option.golden_update or "none"),
        reason=option.golden_reason or "pytest --golden-update",
        report=_path(config, "golden_report"),
        in_process=option.golden_in_process,
        strict=option.golden_strict or config.getini("golden_strict"),
        calibrate=option.golden_calibrate,
        nearest=option.golden_nearest,
        candidates=option.golden_candidates,
    )


def _path(config: pytest.Config, name: str) -> Path | None:
    """A path of the command line counts from where pytest was called, another from the root."""
    given = getattr(config.option, name)
    base, path = (
        (config.invocation_params.dir, given)
        if given is not None
        else (config.rootpath, config.getini(name))
    )
    # Without .., as pytest names what it collects.
    return Path(os.path.normpath(base / path)) if path else None


def _devices(text: str) -> tuple[str, ...]:
    devices = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [device for device in devices if device not in DEVICES]
    if unknown or not devices:
        raise pytest.UsageError(
            f"--golden-device: expected {' or '.join(DEVICES)} or both with a comma between, "
            f"found {text!r}"
        )
    return devices
