"""A recording from seeds to trace: pins in force, generators seeded, header complete."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from goldtrace.determinism import imports_draw_nothing, pinned, seed_everything
from goldtrace.environment import (
    accelerator_conditions,
    platform_key,
    probe_environment,
    require_platform,
    revision,
)
from goldtrace.errors import DeviceUnavailableError
from goldtrace.model.execution import Execution
from goldtrace.model.trace import Header
from goldtrace.recording.loaders import loaders_noted
from goldtrace.recording.numbers import single, unchanged
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from goldtrace.model.noise import Noise
    from goldtrace.model.spec import RunSpec
    from goldtrace.recording.tape import Observer

NOISE_PIN = "gradient noise"
"""The pin of a perturbed trace, which can therefore never be taken for a plain one."""

EXECUTION_PIN = "execution"
"""The pin of a trace whose models were compiled behind the training's back."""


@contextmanager
def recording(
    spec: RunSpec,
    device: str,
    *,
    root: Path,
    observe: Observer | None = None,
    noise: Noise | None = None,
    progress: Callable[[int], None] | None = None,
    execution: Execution = Execution.EAGER,
) -> Iterator[GoldenRun]:
    """Apply and verify the profile of ``spec``, seed every generator and hand out the recorder.

    ``root`` is the directory that the project's lock file and repository are looked for in;
    ``observe`` is told of each operator of the steps that are taped. ``noise`` perturbs the run's
    gradients, and is named among the pins of its trace; such a run has no tape. So is another
    ``execution`` than eager.
    ``progress`` is called after each step with how many there have been.
    Everything process-wide is put back when the block is left.

    Raises:
        DeviceUnavailableError: this machine has no such device.
        PlatformUnsupportedError: the profile does not cover this machine.
        PinError: a pin is not in force.
    """
    require_device(device)
    require_platform(spec.profile, device)
    with (
        pinned(spec.profile, device=device, warn_only=spec.warn_only) as in_force,
        imports_draw_nothing(),
        loaders_noted() as loaders,
        _defaults_kept(),
    ):
        seeds = seed_everything(spec.seed)
        start = accelerator_conditions() if device == "cuda" else {}

        marks = {} if noise is None else {NOISE_PIN: str(noise)}
        if execution is not Execution.EAGER:
            marks[EXECUTION_PIN] = execution.value

        def header(data: Mapping[str, Mapping[str, str]]) -> Header:
            return Header(
                run=spec.name,
                device=device,
                platform=platform_key(spec.profile, device),
                origin=spec.entry,
                settings=spec.settings(),
                spec_digest=spec.digest(),
                pins={**in_force.pins, **marks},
                environment=probe_environment(device, root=root),
                seeds=seeds,
                data=data,
                revision=revision(root),
                canaries=in_force.canaries,
                conditions={"start": start, "end": accelerator_conditions()} if start else {},
                loaders=tuple(sorted(loaders)),
            )

        run = GoldenRun(
            name=spec.name,
            seed=spec.seed,
            device=device,
            config=spec.config,
            header=header,
            rounding=single if in_force.pins.get("goldtrace.universal") else unchanged,
            tape=Tape(spec.tape if noise is None else (), root=root.absolute(), observe=observe),
            noise=noise,
            progress=progress,
            execution=execution,
        )
        try:
            yield run
        finally:
            run.close()


@contextmanager
def _defaults_kept() -> Iterator[None]:
    """Put back the default dtype and device, which a training may set for itself alone."""
    # torch.get_default_device of 2.4 fails once the device has been put back.
    dtype, device = torch.get_default_dtype(), torch.empty(0).device
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.empty(0).device != device:
            torch.set_default_device(None if device.type == "cpu" else device)


def require_device(device: str) -> None:
    """Raise ``DeviceUnavailableError`` unless this process can compute on ``device``."""
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailableError(
            "no CUDA device is available",
            expected="a GPU, its driver and a CUDA build of torch",
            found=f"torch {torch.__version__}, CUDA build: {torch.version.cuda or 'none'}",
            hint="run it on a CUDA runner, or choose --golden-device cpu",
        )
