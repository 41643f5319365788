"""Where in the repository a finding is shown: a file that is there, and a line if one is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LINE = re.compile(r"(?P<file>[^:\n]+\.py):(?P<line>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file, named from the top of the repository; ``line`` counts from 1."""

    path: str
    line: int | None = None


def place_of(
    run: Mapping[str, Any], *, root: Path, top: Path, golden: Path | None = None
) -> Place | None:
    """The line that the tape or an error names, else the test's file, else the ``run.toml``.

    ``root`` is the project's directory, ``top`` the repository's, which contains it; ``golden`` is
    that of the goldens, by default in ``root``. Files that aren't there, such as those of an
    installed package, are passed over.
    """
    root, top = root.absolute(), top.absolute()
    golden = (golden or root / "golden").absolute()
    for name, line in _candidates(run, golden):
        for folder in (root, root / "src"):
            path = folder / name
            if path.is_file() and path.resolve().is_relative_to(top.resolve()):
                shown = path.relative_to(top) if path.is_relative_to(top) else path.resolve()
                return Place(path=shown.as_posix(), line=line)
    return None


def _candidates(run: Mapping[str, Any], golden: Path) -> Iterator[tuple[str, int | None]]:
    error = run["error"] or {}
    for text in (run["line"], error.get("where")):
        found = _LINE.match(text or "")
        if found is not None:
            yield found["file"], int(found["line"])
    origin = run["origin"] or ""
    if "::" in origin:
        yield origin.partition("::")[0], None
    elif ":" in origin:
        yield str(golden / run["name"] / "run.toml"), None
        yield f"{origin.partition(':')[0].replace('.', '/')}.py", None
