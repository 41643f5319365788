"""Store a candidate golden in a report, or clear away one that no longer holds."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from goldtrace.candidates.manifest import FILES, FOLDER, MANIFEST, Manifest, encode_manifest
from goldtrace.model.sealed import sha256
from goldtrace.store.names import check_name, is_name

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from goldtrace.model.trace import Header
    from goldtrace.store.golden import Plan

_MACHINE = ("cpu", "os", "python")
_PACKAGES = ("torch", "torchvision", "numpy", "triton", "goldtrace")
_ACCELERATOR = ("name", "driver")


def store_candidate(
    report: Path,
    plan: Plan,
    header: Header,
    *,
    verdict: str,
    cause: str | None,
    uncalibrated: str | None,
) -> str:
    """Write the golden that ``plan`` would write, and its manifest, into a report.

    All of it or nothing: the folder appears by one rename. Returns the folder relative to
    ``report``, with ``/``.

    Raises:
        OSError: it cannot be written.
    """
    files = {name: content for name, content in plan.files.items() if name in FILES}
    manifest = Manifest(
        run=plan.run,
        device=header.device,
        platform=plan.platform,
        base=plan.expected,
        verdict=verdict,
        cause=cause,
        moved=plan.entry.moved,
        files={name: sha256(content) for name, content in files.items()},
        environment=_summary(header),
        uncalibrated=uncalibrated,
    )
    folder = _folder(report, plan.run, plan.platform)
    staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    staged.mkdir(parents=True)
    try:
        for name, content in {**files, MANIFEST: encode_manifest(manifest)}.items():
            (staged / name).write_bytes(content)
        discard_candidate(report, plan.run, plan.platform)
        os.replace(staged, folder)  # noqa: PTH105 - pathlib's says no more
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return folder.relative_to(report).as_posix()


def discard_candidate(report: Path, run: str, platform: str) -> None:
    """Remove the candidate that an earlier check left in this report, if there is one."""
    folder = _folder(report, run, platform)
    if (folder / MANIFEST).is_file():
        # The manifest goes first: without it, what is left is no candidate any more.
        with contextlib.suppress(OSError):
            (folder / MANIFEST).unlink()
        shutil.rmtree(folder, ignore_errors=True)


def discard_unnamed(report: Path, named: Collection[str]) -> None:
    """Remove every candidate of a report whose folder, relative to it, is not ``named``."""
    for manifest in (report / FOLDER).glob(f"*/*/{MANIFEST}"):
        run, platform = manifest.parts[-3:-1]
        listed = f"{FOLDER}/{run}/{platform}" in named
        linked = manifest.parent.is_symlink() or manifest.parents[1].is_symlink()
        if not listed and not linked and is_name(run) and is_name(platform):
            discard_candidate(report, run, platform)


def _folder(report: Path, run: str, platform: str) -> Path:
    return report / FOLDER / check_name(run, what="run") / check_name(platform, what="platform")


def _summary(header: Header) -> dict[str, str]:
    """What a reader wants to know of where it was made; the header has all of it."""
    environment = header.environment
    accelerator = {f"gpu {key}": environment.accelerator.get(key) for key in _ACCELERATOR}
    commit = header.revision.commit if header.revision is not None else None
    facts = {
        **{key: environment.packages.get(key) for key in _PACKAGES},
        **{key: environment.system.get(key) for key in _MACHINE},
        **accelerator,
        "commit": commit,
    }
    return {key: value for key, value in facts.items() if value is not None}
