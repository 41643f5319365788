"""A culprit by itself: its actual inputs and a script that needs torch alone, and trying it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from goldtrace.determinism import profile_for
from goldtrace.diagnose.reproducer import EXPECTED, REPORT, SCRIPT, expected, script
from goldtrace.errors import RunError, UsageError
from goldtrace.launch import Capture, launch
from goldtrace.model.diagnosis import Reproduction
from goldtrace.model.spec import RunKind
from goldtrace.model.tape import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goldtrace.model.diagnosis import Culprit, Diagnosis
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A diagnosed run: the golden's trace, and the one that the diagnosis is of."""

    spec: RunSpec
    device: str
    diagnosis: Diagnosis | None
    golden: Trace
    now: Trace


def culprit_of(case: Case) -> Culprit:
    """The first culprit that can be called by itself.

    Raises:
        UsageError: there is none, or the run can't be repeated for its inputs.
    """
    culprits = case.diagnosis.culprits if case.diagnosis is not None else ()
    callable_ones = [c for c in culprits if c.now is not None and c.op != REGION]
    # One that both have can be held against the other's result.
    callable_ones.sort(key=lambda c: c.golden is None)
    culprit = callable_ones[0] if callable_ones else None
    if culprit is None or case.now.taped(culprit.step) is None:
        raise UsageError(
            "there is no operator to reproduce",
            where=case.spec.name,
            expected="a culprit among the operators of a taped step",
            found=", ".join(c.op for c in culprits[:3]) or "none",
        )
    if case.spec.kind is not RunKind.DECLARED:
        raise UsageError(
            "only a declared run can be repeated for its inputs",
            where=case.spec.name,
            hint="move the training into a run.toml",
        )
    return culprit


def write_reproducer(
    case: Case,
    folder: Path,
    *,
    root: Path,
    interpreter: str,
    environment: Mapping[str, str] | None = None,
) -> Culprit:
    """Repeat the run under ``interpreter``; leave the culprit's inputs and a script in a folder.

    Raises:
        UsageError: no operator is to blame, or it can't be called by itself.
        GoldtraceError: the run can't be repeated.
    """
    culprit = culprit_of(case)
    golden, now = case.golden.taped(culprit.step), case.now.taped(culprit.step)
    assert now is not None  # noqa: S101 - as ``culprit_of`` has seen
    assert culprit.now is not None  # noqa: S101 - as above
    launch(
        replace(case.spec, tape=(now.number,)),
        case.device,
        root=root,
        interpreter=interpreter,
        environment=environment,
        capture=Capture(place=culprit.now, folder=folder),
    )
    call = next(call for call in now.calls if call.place == culprit.now)
    values = [now.values[place] for place in call.outputs]
    before = values
    if golden is not None and culprit.golden is not None:
        other = next(call for call in golden.calls if call.place == culprit.golden)
        before = [golden.values[place] for place in other.outputs]
    pins = profile_for(case.spec.profile, case.device).environment()
    text = script(
        culprit,
        run=case.spec.name,
        step=now.number,
        pins={name: value for name, value in pins.items() if name != "NPY_DISABLE_CPU_FEATURES"},
        warn_only=case.spec.warn_only,
        golden=_made_with(case.golden),
        now=_made_with(case.now),
    )
    (folder / SCRIPT).write_text(text, encoding="utf-8")
    (folder / EXPECTED).write_text(expected(before, values), encoding="utf-8")
    return culprit


def reproduce(folder: Path, culprit: Culprit, *, golden: str, now: str) -> Reproduction:
    """Run a reproducer under the interpreters that the golden and the failed run were made with.

    Raises:
        RunError: it ends with an error under one of them.
    """
    before, after = (_shown(folder, interpreter) for interpreter in (golden, now))
    differing = [one for one in before if one["most"] is not None]
    worst = max(differing, key=lambda one: int(one["most"]), default=None)
    return Reproduction(
        folder=str(folder),
        op=culprit.op,
        golden=bool(before) and all(one["golden"] for one in before),
        now=bool(after) and all(one["now"] for one in after),
        ulp_most=worst["most"] if worst else None,
        ulp_median=worst["median"] if worst else None,
        differing=worst["differing"] if worst else 0,
        elements=worst["elements"] if worst else 0,
    )


def _shown(folder: Path, interpreter: str) -> list[dict[str, Any]]:
    """What the script says about each output."""
    report = folder / REPORT
    report.unlink(missing_ok=True)
    done = subprocess.run(  # noqa: S603 - the interpreter is the user's choice
        [interpreter, folder / SCRIPT, report],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not report.exists():
        lines = done.stderr.strip().splitlines()
        raise RunError(
            "the reproducer ends with an error",
            where=f"{folder / SCRIPT} under {interpreter}",
            found=lines[-1] if lines else f"exit status {done.returncode}",
        )
    outputs: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["outputs"]
    report.unlink()
    return outputs


def _made_with(trace: Trace) -> str:
    environment = trace.header.environment
    torch = environment.packages.get("torch", "unknown")
    return f"torch {torch} on {environment.system.get('cpu', 'an unknown CPU')}"
