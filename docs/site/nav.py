"""The site's navigation, a hook of MkDocs: rooms in order, pages as docs/index.md lists them.

A new page appears by lying in its folder. What the index doesn't link comes after what it does, and
pages that lie in no room (figures that a machine writes) belong to the reference.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOMS = {
    "tutorial": "Tutorial",
    "how-to": "How to",
    "reference": "Reference",
    "explanation": "Explanation",
    "decisions": "Decisions",
}


def on_config(config: Any) -> Any:
    """Called by MkDocs before it looks for pages."""
    config["nav"] = navigation(Path(config["docs_dir"]))
    return config


def navigation(docs: Path) -> list[dict[str, Any]]:
    """The rooms with the paths of their pages; titles are the pages' own."""
    listed = re.findall(r"\]\(([^)#]+\.md)\)", (docs / "index.md").read_text(encoding="utf-8"))
    rank = {path: place for place, path in enumerate(listed)}
    rooms: list[dict[str, Any]] = [{"Home": "index.md"}]
    for room, title in ROOMS.items():
        pages = sorted(path.relative_to(docs).as_posix() for path in (docs / room).rglob("*.md"))
        if room == "reference":
            pages += sorted({path.name for path in docs.glob("*.md")} - {"index.md"})
        pages.sort(key=lambda path: rank.get(path, len(rank)))
        rooms.append({title: pages})
    return rooms
