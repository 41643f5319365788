"""Points about where a run comes from: packages, container, code, machine, certificate."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from goldtrace.environment.difference import computes
from goldtrace.errors import GoldtraceError
from goldtrace.model.checklist import no, yes
from goldtrace.packages.locks import read_lock

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.checklist import Point
    from goldtrace.model.trace import Header
    from goldtrace.store.golden import Golden

_MOST = 3
"""Packages that a point names before it counts the rest."""


def lock(header: Header, root: Path) -> Point:
    """What is installed is what the project's lock file says."""
    key, title = "lock", "lock file in force"
    named = header.environment.system.get("lock")
    if named is None:
        return no(
            key,
            title,
            "the project has no lock file",
            "uv pip compile --universal --generate-hashes pyproject.toml -o requirements.lock",
        )
    name, _, digest = named.partition(" ")
    try:
        pins = _pins(name, root, digest)
    except GoldtraceError as error:
        return no(key, title, f"{name}: {error.what}", error.hint or "lock the project again")
    installed = header.environment.packages
    moved = [
        f"{package} {installed[package]} instead of {version}"
        for package, version in sorted(pins.items())
        if package in installed and _plain(installed[package]) != _plain(version)
    ]
    loose = sorted(package for package in installed if computes(package) and package not in pins)
    wrong = [*moved, *(f"{package} is not locked" for package in loose)]
    if wrong:
        more = f", and {len(wrong) - _MOST} more" if len(wrong) > _MOST else ""
        return no(
            key,
            title,
            f"{name}: {', '.join(wrong[:_MOST])}{more}",
            f"install what {name} says: uv pip sync {name}",
        )
    held = sum(package in installed for package in pins)
    return yes(key, title, f"{name}: {held} installed packages have the locked version")


def container(header: Header) -> Point:
    """Whether the run is in a container, whose image pins what packages don't."""
    key, title = "container", "container"
    found = header.environment.system.get("container")
    if found is not None:
        return yes(key, title, found)
    system = header.environment.system
    return no(
        key,
        title,
        f"none: {system.get('os', 'an unknown system')}, {system.get('libc', 'unknown libc')}",
        "run in an image that is pinned by digest, where the operating system matters",
    )


def revision(header: Header) -> Point:
    """The code can be found again: a clean commit, or the digest of what differs from it."""
    key, title = "revision", "clean git tree or the diff's digest"
    found = header.revision
    if found is None:
        return no(key, title, "no commit of a git repository", "git init, and commit the code")
    if not found.dirty:
        return yes(key, title, f"commit {found.commit[:12]}, clean")
    if found.diff is None:
        return no(
            key, title, f"commit {found.commit[:12]} with unknown changes", "commit the changes"
        )
    return yes(key, title, f"commit {found.commit[:12]} with changes, sha256:{found.diff[:12]}")


def hardware(header: Header) -> Point:
    """The machine is on record."""
    key, title = "hardware", "hardware recorded"
    cpu = header.environment.system.get("cpu")
    gpu = header.environment.accelerator
    if header.device == "cuda":
        if not gpu:
            return no(
                key,
                title,
                "nothing is known of the GPU",
                "pip install 'goldtrace[cuda]', which asks the driver",
            )
        return yes(key, title, f"{gpu.get('model', 'GPU')}, driver {gpu.get('driver', 'unknown')}")
    if cpu is None:
        return no(key, title, "the processor is not named", "run on Linux, which names it")
    return yes(key, title, cpu)


def certificate(golden: Golden | None) -> Point:
    """A golden with a certificate stands behind the run."""
    key, title = "certificate", "golden with certificate"
    if golden is None:
        return no(
            key,
            title,
            "no golden",
            "goldtrace record RUN --reason '…', or pytest --golden-update",
        )
    measured = "calibrated" if golden.calibration is not None else "not calibrated"
    return yes(
        key,
        title,
        f"{golden.certificate.processes} fresh processes agreed bit for bit; {measured}",
    )


@functools.lru_cache(maxsize=8)
def _pins(name: str, root: Path, digest: str) -> dict[str, str]:  # noqa: ARG001 - the cache's key
    return read_lock(name, root=root)


def _plain(version: str) -> str:
    """A version without its local part: ``2.8.0+cpu`` is built from what ``2.8.0`` locks."""
    return version.partition("+")[0]
