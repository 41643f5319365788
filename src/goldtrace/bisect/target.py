"""What is trained in each environment: a declared run, or a test that uses ``golden_run``."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.environment import platform_key, revision
from goldtrace.errors import RunError, RunnerDiedError
from goldtrace.launch import describe_status, launch, without_python_paths
from goldtrace.model.machine import processor
from goldtrace.model.spec import RunSpec
from goldtrace.packages.own_wheel import training_digest
from goldtrace.packages.today import todays_environment
from goldtrace.packages.workspace import CACHE_TAG
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.model.trace import Trace

_OWN_RUNS = "goldtrace.reference."
_SOURCES = (".py", ".pyi", ".toml", ".yaml", ".yml", ".json", ".cfg", ".ini")
_TAIL = 15
_TESTS_FAILED = 1
_RAISED = re.compile(r"^E +([\w.]+(?:: .*)?)$", re.MULTILINE)


BUILT_IN = {
    spec.name: spec
    for spec in (RunSpec(name="operators", entry=f"{_OWN_RUNS}operators:train", seed=20),)
}
"""Runs that need no ``run.toml``: they serve every repository, and have no golden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A run on a device, or the node id of one test; ``root`` is the project's folder.

    ``written`` are files that the answer will be written to: they are no part of the code.
    """

    run: RunSpec | str
    device: str
    root: Path
    written: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The run's name or the node id."""
        return self.run if isinstance(self.run, str) else self.run.name

    def taped(self, step: int) -> Target:
        """The same with a tape of ``step`` alone; a test decides for itself what it tapes."""
        if isinstance(self.run, str):
            return self
        return replace(self, run=replace(self.run, tape=(step,)))

    def question(self) -> dict[str, Any]:
        """Everything but the environment that decides the trace, as JSON values."""
        cpu = processor()
        return {
            "run": self.run if isinstance(self.run, str) else self.run.to_json(),
            "device": self.device,
            "platform": self._platform(),
            "processor": [cpu.vendor, cpu.model, cpu.isa],
            "goldtrace": training_digest(),
            "code": self._code(),
        }

    def train(self, interpreter: Path) -> Trace:
        """Train under ``interpreter`` and return the trace.

        Raises:
            GoldtraceError: as ``launch`` does; ``RunError`` where a test fails.
        """
        if isinstance(self.run, RunSpec):
            return launch(self.run, self.device, root=self.root, interpreter=str(interpreter))
        return _train_test(self.run, self.device, root=self.root, interpreter=interpreter)

    def _platform(self) -> str:
        profile = self.run.profile if isinstance(self.run, RunSpec) else "cpu-portable"
        return platform_key(profile, self.device)

    def _code(self) -> list[str] | None:
        """The state of the project, and of every other one that is installed from its sources."""
        if isinstance(self.run, RunSpec) and self.run.entry.startswith(_OWN_RUNS):
            return None
        own = self.root.resolve()
        others = {place.resolve() for place in todays_environment().editable} - {own}
        return [
            _state(own, self.written),
            *(_state(place, ()) for place in sorted(others) if place.is_dir()),
        ]


def _state(root: Path, written: tuple[Path, ...]) -> str:
    found = revision(root, besides=written)
    if found is not None:
        return f"{found.commit} {found.diff}"
    total = hashlib.sha256()
    left_out = {path.resolve() for path in written}
    for path in sorted(set(_sources(root)) - left_out):
        total.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    """Code and settings of a project, without its environments, caches and hidden folders."""
    for folder, folders, files in os.walk(root):
        if {"pyvenv.cfg", CACHE_TAG} & set(files):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in files if name.endswith(_SOURCES))


def question_digest(question: dict[str, Any]) -> str:
    """What identifies a question: SHA-256 of its canonical JSON."""
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def _train_test(node: str, device: str, *, root: Path, interpreter: Path) -> Trace:
    """The trace that pytest stores as a golden when it is told to update one elsewhere."""
    with tempfile.TemporaryDirectory(prefix="goldtrace-") as scratch:
        goldens = Path(scratch, "golden")
        answer = subprocess.run(  # noqa: S603 - the interpreter is the user's choice
            [
                *(interpreter, "-m", "pytest", node, "--golden-update=all", "-q"),
                "--golden-no-calibrate",
                *("--golden-update-in-ci", "--golden-dir", goldens, "--golden-device", device),
                *("-p", "no:cacheprovider"),
            ],
            cwd=root,
            env={**without_python_paths(os.environ), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        store = GoldenStore(goldens)
        found = [
            golden
            for run in store.runs()
            for p in store.platforms(run)
            if (golden := store.load(run, p))
        ]
    tail = "\n".join((answer.stdout + answer.stderr).strip().splitlines()[-_TAIL:])
    if len(found) == 1 and answer.returncode == 0:
        return found[0].trace
    if answer.returncode == _TESTS_FAILED:
        raised = _RAISED.findall(answer.stdout)
        raise RunError(
            "the test failed", where=node, found=f"{raised[-1] if raised else 'unknown'}\n{tail}"
        )
    raise RunnerDiedError(
        "pytest ended without a golden",
        where=node,
        expected="one test that uses golden_run",
        found=f"{describe_status(answer.returncode)}, {len(found)} goldens\n{tail}",
    )
