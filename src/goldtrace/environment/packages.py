"""Every installed distribution, and the numerical libraries that are loaded."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import Any

_SEPARATORS = re.compile(r"[-_.]+")

# What torch.__config__.show() says about the libraries that it was built with.
_BUILT_WITH = {
    "mkl": re.compile(r"Math Kernel Library Version (\S+)"),
    "onednn": re.compile(r"MKL-DNN v(\S+)"),
    "openmp": re.compile(r"OpenMP (\d+)"),
    "compiler": re.compile(r"^\s*- (GCC \S+|clang \S+|C\+\+ \S+)", re.MULTILINE),
    "blas": re.compile(r"BLAS_INFO=(\w+)"),
    "magma": re.compile(r"Magma (\S+)"),
}


def normalised(name: str) -> str:
    """A distribution's name as the packaging standard compares names (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def installed_packages() -> dict[str, str]:
    """The version of every distribution on the path by its normalised name, sorted.

    Of a name that is installed twice, the one that an import finds counts. What setuptools carries
    for itself is left out: it puts that on the path once something, such as a compiler, imports it.
    """
    found: dict[str, str] = {}
    path = [entry for entry in sys.path if Path(entry).parts[-2:] != ("setuptools", "_vendor")]
    for distribution in importlib.metadata.distributions(path=path):
        metadata = distribution.metadata
        if "Name" in metadata:  # a half-removed distribution leaves a folder without metadata
            found.setdefault(normalised(metadata["Name"]), distribution.version)
    return dict(sorted(found.items()))


def numerical_libraries() -> dict[str, str]:
    """The libraries that compute in this process, with version, kernel and threads, sorted.

    What torch was built with is only told once torch has been imported, which is not done here.
    """
    found = _thread_pools()
    torch = sys.modules.get("torch")
    if torch is not None:
        found.update(_torch_build(torch))
    return dict(sorted(found.items()))


def _torch_build(torch: Any) -> dict[str, str]:
    text = torch.__config__.show()
    found = {
        f"torch.{name}": match.group(1)
        for name, pattern in _BUILT_WITH.items()
        if (match := pattern.search(text))
    }
    found["torch.cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    found["torch.threads"] = str(torch.get_num_threads())
    for name in ("cuda", "hip"):
        version = getattr(torch.version, name, None)
        if version:
            found[f"torch.{name}"] = str(version)
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    if cudnn:
        found["torch.cudnn"] = str(cudnn)
    return found


def _thread_pools() -> dict[str, str]:
    import threadpoolctl

    found = {}
    for pool in threadpoolctl.threadpool_info():
        parts = [pool.get("version") or "unknown version"]
        if pool.get("architecture"):
            parts.append(str(pool["architecture"]))
        parts.append(f"threads {pool['num_threads']}")
        # Two copies of one library, numpy's and scipy's say, are told apart by their prefix.
        name = str(pool["internal_api"])
        while name in found:
            name += "'"
        found[name] = ", ".join(parts)
    return found
