"""What machine, interpreter and packages a trace was recorded with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Everything around the run that may change its bits.

    ``system`` holds plain facts (``python``, ``os``, ``kernel``, ``cpu``, ``isa``, …), ``packages``
    every installed distribution by its normalised name, ``libraries`` the numerical libraries with
    version and threads (``mkl``, ``onednn``, ``openblas``, ``cudnn``, …), ``accelerator`` what the
    driver reports about the GPU of the run; empty on a CPU. All keys and values are text.
    """

    system: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    accelerator: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The state of the repository that the run's code came from.

    ``diff`` is the SHA-256 of ``git diff HEAD`` and of the untracked files when ``dirty``.
    """

    commit: str
    dirty: bool
    diff: str | None = None
