"""What differs between the circumstances of two traces, the likeliest causes first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goldtrace.model.verdict import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.model.trace import Header

COMPUTING_PACKAGES = (
    *("torch", "torchvision", "torchaudio", "numpy", "triton", "pytorch-triton"),
    *("transformers", "tokenizers", "accelerate", "peft", "timm", "diffusers", "einops"),
    *("pytorch-lightning", "lightning", "torcheval", "torchmetrics", "torchdata", "datasets"),
    *("flash-attn", "xformers", "bitsandbytes", "torchao", "deepspeed", "apex"),
    *("scipy", "scikit-learn", "pandas", "pillow", "opencv-python", "opencv-python-headless"),
    *("albumentations", "jax", "jaxlib", "tensorflow", "mkl", "intel-openmp"),
)
"""Packages that take part in a training's numbers, in the order in which they are suspected."""

_COMPUTING_PREFIXES = ("nvidia-", "intel-", "onemkl-", "rocm-")


def changes(golden: Header, now: Header) -> tuple[Change, ...]:
    """Every difference between two headers that may have moved a run, ranked by likelihood.

    Packages that compute, then settings, data, seeds and data loaders, pins, canaries, numerical
    libraries, accelerator, system, the other packages, and last the commit. ``what`` is a
    package's name, or the kind and the name of another thing (``setting config.lr``, ``pin
    OMP_NUM_THREADS``).
    """
    return tuple(_changes(golden, now))


def _changes(golden: Header, now: Header) -> Iterator[Change]:
    old, new = golden.environment, now.environment
    packages = sorted(
        _compared("", old.packages, new.packages), key=lambda change: suspicion(change.what)
    )
    computing = [change for change in packages if computes(change.what)]
    yield from computing
    yield from _compared("setting ", _flat(golden.settings), _flat(now.settings))
    yield from _compared("data ", _flat(golden.data), _flat(now.data))
    yield from _compared("seed ", _flat(golden.seeds), _flat(now.seeds))
    if golden.loaders and now.loaders and golden.loaders != now.loaders:
        # Goldens of an older goldtrace have none.
        yield Change(
            what="data loaders", golden="; ".join(golden.loaders), now="; ".join(now.loaders)
        )
    yield from _compared("pin ", golden.pins, now.pins)
    if golden.canaries and now.canaries:
        yield from _compared("canary ", golden.canaries, now.canaries)
    yield from _compared("library ", old.libraries, new.libraries)
    yield from _compared("accelerator ", old.accelerator, new.accelerator)
    yield from _compared("system ", old.system, new.system)
    yield from (change for change in packages if not computes(change.what))
    if golden.revision != now.revision:
        yield Change(what="code", golden=_code(golden), now=_code(now))


def _compared(prefix: str, golden: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*golden, *now}):
        before, after = golden.get(name), now.get(name)
        if before != after:
            yield Change(what=prefix + name, golden=before, now=after)


def computes(package: str) -> bool:
    """Whether a package takes part in a training's numbers."""
    if package in COMPUTING_PACKAGES:
        return True
    return package.startswith(_COMPUTING_PREFIXES) and package != "nvidia-ml-py"


def suspicion(package: str) -> tuple[int, str]:
    """A sorting key: packages that take part in a training's numbers first, then by name."""
    if package in COMPUTING_PACKAGES:
        return COMPUTING_PACKAGES.index(package), package
    return len(COMPUTING_PACKAGES) + (not computes(package)), package


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as dotted names; a text stands for itself, other values for their JSON."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            flat[f"{prefix}{name}"] = text
    return flat


def _code(header: Header) -> str | None:
    if header.revision is None:
        return None
    local = " with local changes" if header.revision.dirty else ""
    return f"{header.revision.commit[:12]}{local}"
