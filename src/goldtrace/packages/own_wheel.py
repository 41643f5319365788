"""The goldtrace that is running, as a wheel: every probed environment gets the same one.

Binary distribution format: https://packaging.python.org/specifications/binary-distribution-format.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from pathlib import Path

import goldtrace

_TRAINING = frozenset(
    {"determinism", "environment", "model", "recording", "reference", "universal"}
)
_ASIDE = frozenset(
    {
        "goldtrace/model/diagnosis.py",
        "goldtrace/model/upgrade.py",
        "goldtrace/recording/capture.py",
    }
)
"""What a training never sees, or what only looks on: it changes nothing that is recorded."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_METADATA = "Metadata-Version: 2.1\nName: goldtrace\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: goldtrace\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_ENTRY_POINTS = (
    "[console_scripts]\ngoldtrace = goldtrace.cli:main\n\n"
    "[pytest11]\ngoldtrace = goldtrace.pytest_plugin\n"
)


def own_sources() -> dict[str, bytes]:
    """Every file of the running package, by its path below ``site-packages``."""
    package = Path(goldtrace.__file__).parent
    return {
        f"goldtrace/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def own_digest() -> str:
    """What identifies the running goldtrace, down to each byte of its sources."""
    return _digest(own_sources())


def training_digest() -> str:
    """What identifies the part of goldtrace that works while a run trains."""
    return _digest(
        {
            name: content
            for name, content in own_sources().items()
            if name.split("/")[1] in _TRAINING and name not in _ASIDE
        }
    )


def _digest(files: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in files.items():
        total.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def own_requirements() -> tuple[str, ...]:
    """What goldtrace needs beside it, extras left out; empty where it was never installed."""
    try:
        listed = importlib.metadata.requires("goldtrace") or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(line for line in listed if "extra ==" not in line)


def write_own_wheel(directory: Path) -> Path:
    """Write the wheel into ``directory`` and return its path; the same bytes for the same code."""
    version = goldtrace.__version__
    info = f"goldtrace-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {line}\n" for line in own_requirements())
    files = own_sources() | {
        f"{info}/METADATA": f"{_METADATA}Version: {version}\n{needs}".encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": _ENTRY_POINTS.encode(),
    }
    record = "".join(f"{name},{_hash(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = directory / f"goldtrace-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), content)
    return path


def _hash(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
