"""Coverage that is being measured in the session is measured in its child as well."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DATA = "coverage"


def measurement(scratch: Path) -> dict[str, Any] | None:
    """What a child has to measure: ``None`` unless this process is measuring.

    The child's data goes into a new folder under ``scratch``.
    """
    current = _current()
    if current is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="coverage-", dir=scratch))
    config = current.config
    return {
        "data_file": str(folder / _DATA),
        "config_file": str(config.config_file) if config.config_file else False,
        "source": list(config.source) if config.source else None,
        "source_pkgs": list(config.source_pkgs),
        "branch": config.branch,
        "include": config.run_include,
        "omit": config.run_omit,
    }


@contextmanager
def measuring(settings: Mapping[str, Any] | None) -> Iterator[None]:
    """Measure the block as the session does."""
    if settings is None:
        yield
        return
    import coverage

    given = {key: value for key, value in settings.items() if key != "source_pkgs"}
    if settings["source_pkgs"]:
        given["source_pkgs"] = settings["source_pkgs"]
    measured = coverage.Coverage(**given, messages=False)
    # The session reports modules that no test imported; its child has seen some of them only.
    measured._warn_unimported_source = False  # noqa: SLF001 - as pytest-cov does for xdist's workers
    measured._warn_no_data = False  # noqa: SLF001 - same
    measured._warn_preimported_source = False  # noqa: SLF001 - same
    measured.start()
    try:
        yield
    finally:
        measured.stop()
        measured.save()


def collect_into_session(scratch: Path) -> None:
    """Add what children have measured to this session's data."""
    current = _current()
    files = sorted(scratch.glob(f"coverage-*/{_DATA}"))
    if current is None or not files:
        return
    import coverage

    for file in files:
        data = coverage.CoverageData(str(file))
        data.read()
        current.get_data().update(data)
        data.close()


def _current() -> Any:
    module = sys.modules.get("coverage")
    return module.Coverage.current() if module is not None else None
