"""The watched models compiled in place, so that one spec can run eager and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch


def compile_in_place(models: Iterable[torch.nn.Module]) -> None:
    """Have ``torch.compile`` take over each model's call; its names and parameters stay.

    Random numbers come from eager's own generators, or every dropout would draw others.
    """
    import torch._inductor.config as inductor

    inductor.fallback_random = True
    for model in models:
        model.compile()


def require_compiled(run: str) -> None:
    """Refuse a run of which nothing was compiled.

    Raises:
        RecordingError: no frame was compiled, so that eager would be held against eager.
    """
    from torch._dynamo.utils import counters

    if not counters["frames"]["ok"]:
        raise RecordingError(
            "nothing of the run was compiled",
            where=run,
            expected="a watched model that is called itself after golden_run.watch(model=…)",
            found="no call of a watched model that torch.compile could take over",
            hint="compile in the training's code, and compare two runs with goldtrace diff",
        )
