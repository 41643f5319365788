"""Points about what the training does: seeds, precision, loaders and data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.model.checklist import no, not_applicable, yes
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from goldtrace.model.checklist import Point
    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import Golden

SURVEY = "goldtrace.recording.survey:survey"
"""The origin of a trace that was recorded without any training."""

_GENERATORS = ("python", "numpy", "torch")
_SHORT = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_NO_TRAINING = "nothing was trained: goldtrace doctor RUN looks at a run"


def seeds(trace: Trace) -> Point:
    """Every generator has a seed, and its state is recorded at every step."""
    key, title = "seeds", "seeds of all generators"
    given = trace.header.seeds
    missing = [name for name in _GENERATORS if name not in given]
    if missing:
        return no(
            key,
            title,
            f"no seed for {', '.join(missing)}",
            "call goldtrace.seed_everything(seed) before anything draws",
        )
    streams = sorted({name for step in trace.steps for name in step.rng})
    recorded = f"; recorded at every step: {', '.join(streams)}" if streams else ""
    return yes(key, title, ", ".join(f"{n} {given[n]}" for n in sorted(given)) + recorded)


def mixed_precision(trace: Trace) -> Point:
    """Whether lower precisions take part, which the tape of operators shows."""
    key, title = "mixed_precision", "mixed precision recorded"
    if trace.header.origin == SURVEY:
        return not_applicable(key, title, _NO_TRAINING)
    if not trace.tape:
        return no(
            key,
            title,
            "no operators were recorded, so nothing tells in which precision they compute",
            "tape = [0] in run.toml, or golden(tape=[0])",
        )
    found = _short_types(trace)
    if not found:
        return not_applicable(key, title, "every operator computes in full precision")
    return yes(key, title, f"{', '.join(found)}, with every operator's types on the tape")


def loss_scale(trace: Trace) -> Point:
    """The scale of the loss is part of the trace, where float16 needs one."""
    key, title = "loss_scale", "loss scale recorded"
    scales = {
        str(step.hyperparameters["scaler.scale"].value)  # type: ignore[union-attr]
        for step in trace.steps
        if "scaler.scale" in step.hyperparameters
    }
    if scales:
        return yes(key, title, f"at every step: {', '.join(sorted(scales)[:4])}")
    if "float16" in _short_types(trace):
        return no(
            key,
            title,
            "float16 is in use, and no GradScaler is watched",
            "golden_run.watch(…, scaler=scaler)",
        )
    return not_applicable(key, title, "no float16 and no GradScaler")


def data_loading(trace: Trace) -> Point:
    """The order of the data depends on nothing but its own generator."""
    key, title = "data_loading", "DataLoader workers and generator"
    if trace.header.origin == SURVEY:
        return not_applicable(key, title, _NO_TRAINING)
    loaders = trace.header.loaders
    if not loaders:
        return not_applicable(key, title, "no DataLoader was iterated over")
    found = "; ".join(loaders)
    if any("the global generator" in loader for loader in loaders):
        return no(
            key,
            title,
            found,
            "DataLoader(…, generator=goldtrace.generator('shuffle')): then its order does not "
            "depend on what else draws",
        )
    return yes(key, title, found)


def data(trace: Trace, golden: Golden | None) -> Point:
    """The files of the data set were verified, and are the golden's."""
    key, title = "data", "data manifest verified"
    if trace.header.origin == SURVEY:
        return not_applicable(key, title, _NO_TRAINING)
    files = trace.header.data
    expected = golden.trace.header.data if golden is not None else files
    if files != expected:
        return no(
            key,
            title,
            "other files than the golden was recorded with",
            "fetch the data set that the golden names, or accept the change",
        )
    if files:
        found = ", ".join(f"{name}: {len(each)} files by SHA-256" for name, each in files.items())
        return yes(key, title, found)
    digested = sum(Rung.BATCH in step.ladder for step in trace.steps)
    if digested:
        return not_applicable(
            key, title, f"no files are entered; the {digested} batches themselves are digested"
        )
    return no(
        key,
        title,
        "neither files nor batches are recorded",
        "golden_run.step(…, batch=batch), and golden_run.data(name, {file: sha256})",
    )


def _short_types(trace: Trace) -> list[str]:
    types = {value.dtype for step in trace.tape for value in step.values}
    structure = trace.steps[0].tensors.get(Rung.STRUCTURE, {}) if trace.steps else {}
    types |= {line.partition("[")[0] for line in structure.values()}
    return [name for name in _SHORT if name in types]
