"""Reading what an older goldtrace wrote: one function for each step of the schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldenError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The JSON of a trace before it is understood: the header, and the lines of the steps."""

    header: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]


Migration = Callable[[Documents], Documents]

MIGRATIONS: Mapping[int, Migration] = {}
"""From each older schema to the next one. Schema 1 is the first, so there is none yet."""


def migrate(
    documents: Documents, *, schema: int, newest: int, migrations: Mapping[int, Migration]
) -> Documents:
    """The documents as the schema ``newest`` has them.

    Raises:
        GoldenError: a step on the way has no migration.
    """
    for version in range(schema, newest):
        step = migrations.get(version)
        if step is None:
            raise GoldenError(
                "the golden was written by an older goldtrace and cannot be read any more",
                where="header.json",
                expected=f"schema {newest}",
                found=f"schema {schema}",
                hint='record it again: goldtrace record RUN --reason "new golden format"',
            )
        documents = step(documents)
    return documents
