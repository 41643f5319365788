"""Names for the nodes of a collection tree that mean the same in two processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _pytest.nodes import Node


def node_keys(node: Node) -> list[str]:
    """One key for the node and each of its parents, the session first.

    Node ids won't do: plugins decorate them (xdist's ``--dist loadgroup``).
    """
    return [f"{type(n).__name__} {n.path} {n.name}" for n in node.listchain()]


def item_key(item: pytest.Item) -> str:
    """The key of a single test: its file, and the names of class, function and parameters."""
    names: list[str] = []
    for node in reversed(item.listchain()):
        if isinstance(node, pytest.File):
            break
        names.insert(0, node.name)
    return "::".join([str(item.path), *names])


def stand_in(node: Node, following: Sequence[str] | None) -> pytest.Item | None:
    """An item that shares with ``node`` the collectors that the item with keys ``following`` has.

    pytest decides from the next item which fixtures to tear down after this one; when the next
    item runs in another process, this stands for it.
    """
    if following is None:
        return None
    parent: pytest.Collector = node.session
    for link, key, wanted in zip(node.listchain(), node_keys(node), following, strict=False):
        if key != wanted or not isinstance(link, pytest.Collector):
            break
        parent = link
    return _Elsewhere.from_parent(parent, name="elsewhere")


class _Elsewhere(pytest.Item):
    def runtest(self) -> None:
        raise AssertionError("stands for a test of another process")
