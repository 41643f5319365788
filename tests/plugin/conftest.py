"""The project that plugin tests run pytest in."""

from __future__ import annotations

import pytest
from project import Project


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty repository without golden tests."""
    return Project(pytester, monkeypatch)
