"""What machine, interpreter and packages these are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from pathlib import Path

from goldtrace.environment.accelerator import describe_accelerator
from goldtrace.environment.packages import installed_packages, numerical_libraries
from goldtrace.model.environment import Environment
from goldtrace.model.machine import ISA_FLAGS, processor

LOCK_FILES = ("requirements.lock", "uv.lock", "pylock.toml", "poetry.lock", "pdm.lock")
"""The lock files that are looked for in a project's root, in this order."""

_GIB = 1024**3

_CONTAINER_FILES = {"docker": ".dockerenv", "podman": "run/.containerenv"}
_CONTAINER_VARIABLES = {
    "APPTAINER_CONTAINER": "apptainer",
    "SINGULARITY_CONTAINER": "apptainer",
    "container": "",  # systemd's convention: the value is the engine
    "KUBERNETES_SERVICE_HOST": "kubernetes",
}
_CONTAINER_GROUPS = ("docker", "kubepods", "containerd", "libpod", "lxc")


def probe_environment(device: str, *, root: Path) -> Environment:
    """Describe the machine, the interpreter and every installed package of this process.

    ``device`` is ``cpu`` or ``cuda``, ``root`` the folder with the lock file. Two calls in like
    processes on one machine give equal values: nothing in it changes with time or load.
    """
    return Environment(
        system={**_system(), **_lock(root), **container()},
        packages=installed_packages(),
        libraries=numerical_libraries(),
        accelerator=describe_accelerator() if device == "cuda" else {},
    )


def _system() -> dict[str, str]:
    cpu = processor()
    facts = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(filter(None, platform.libc_ver())),
        "machine": platform.machine(),
        "cpu": " ".join(filter(None, (cpu.vendor, cpu.model))),
        "isa": " ".join(flag for flag in ISA_FLAGS if flag in (cpu.flags or ())),
        "cpus": str(os.cpu_count() or 1),
        "memory": _memory(),
    }
    return {name: value for name, value in facts.items() if value}


def _os_name() -> str:
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()
        return release.get("PRETTY_NAME", release["NAME"])
    return platform.platform(terse=True)


def _memory() -> str:
    """Physical memory to a whole GiB: the kernel keeps back an amount that varies."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return ""
    return f"{round(size / _GIB)} GiB"


def container(root: Path = Path("/")) -> dict[str, str]:
    """The kind of container that this process runs in, under ``container``; nothing outside.

    What the engines leave behind: docker and podman a file, Kubernetes its service's address,
    others the variable ``container`` (systemd's convention) or their name in the control group.
    """
    for name, file in _CONTAINER_FILES.items():
        if (root / file).exists():
            return {"container": name}
    for variable, name in _CONTAINER_VARIABLES.items():
        value = os.environ.get(variable)
        if value:
            return {"container": name or value}
    with contextlib.suppress(OSError):
        groups = (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
        found = next((name for name in _CONTAINER_GROUPS if name in groups), None)
        return {"container": found} if found is not None else {}
    return {}


def _lock(root: Path) -> dict[str, str]:
    for name in LOCK_FILES:
        with contextlib.suppress(OSError):
            digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
            return {"lock": f"{name} sha256:{digest}"}
    return {}
