"""The child of a declared run: ``python -m goldtrace.recording SPEC.json OUT``.

Reads the run's spec, trains, and leaves ``header.json`` and ``steps.jsonl`` in the folder OUT, or
``error.json`` that says why not. The parent reads nothing else.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.determinism import explained_refusal
from goldtrace.errors import EntryPointError, GoldtraceError, RunError
from goldtrace.heartbeat import Heartbeat
from goldtrace.lifeline import end_with
from goldtrace.model.codec import encode_trace
from goldtrace.model.execution import Execution
from goldtrace.model.noise import Noise
from goldtrace.model.spec import RunSpec
from goldtrace.recording.capture import capturing
from goldtrace.recording.session import recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from goldtrace.recording.recorder import GoldenRun


def main(spec_file: Path, out: Path) -> None:
    """Train the run that ``spec_file`` describes; everything that goes wrong lands in ``out``."""
    request = json.loads(spec_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    spec = RunSpec.from_json(request["spec"])
    noise = Noise(**request["noise"]) if request["noise"] is not None else None
    root = Path(request["root"])
    try:
        wanted = request.get("capture")
        observe = None if wanted is None else capturing(wanted["place"], Path(wanted["folder"]))
        device, beats = request["device"], request.get("progress")
        with recording(
            spec,
            device,
            root=root,
            observe=observe,
            noise=noise,
            execution=Execution(request["execution"]),
            progress=Heartbeat(Path(beats)).beat if beats is not None else None,
        ) as run:
            _call(import_entry(spec), run)
            files = encode_trace(run.finish())
    except GoldtraceError as error:
        files = {"error.json": json.dumps(error.to_json()).encode()}
    for name, content in files.items():
        (out / name).write_bytes(content)


def import_entry(spec: RunSpec) -> Callable[[GoldenRun], object]:
    """The function that ``package.module:function`` names.

    Raises:
        EntryPointError: it can't be imported, isn't there or can't be called.
    """
    module_name, _, function_name = spec.entry.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise EntryPointError(
            f'entry = "{spec.entry}" can\'t be imported',
            where=spec.name,
            expected="package.module:function, importable from the project's root",
            found=f"{type(error).__name__}: {error}",
        ) from error
    entry: Any = module
    for part in function_name.split("."):
        entry = getattr(entry, part, None)
    if not callable(entry):
        raise EntryPointError(
            f'entry = "{spec.entry}" is no function',
            where=spec.name,
            expected=f"a function {function_name!r} in {module_name}",
            found="nothing of that name" if entry is None else type(entry).__name__,
        )
    return entry  # type: ignore[no-any-return]


def _call(entry: Callable[[GoldenRun], object], run: GoldenRun) -> None:
    try:
        entry(run)
    except GoldtraceError:
        raise
    except (Exception, SystemExit) as error:
        # The frames of this file say nothing to the author of the entry point.
        frames = traceback.format_exception(type(error), error, error.__traceback__)
        refusal = explained_refusal(error, run.device, where=run.name)
        if refusal is not None:
            refusal.traceback = "".join([frames[0], *frames[2:]])
            raise refusal from error
        raise RunError(
            "the entry point raised",
            where=run.name,
            found=f"{type(error).__name__}: {error}",
            traceback="".join([frames[0], *frames[2:]]),
        ) from error


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
