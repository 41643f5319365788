"""What has to hold for a training to be repeated elsewhere, and whether it does."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Answer(str, enum.Enum):
    """The answer to one point of the checklist."""

    YES = "yes"
    NO = "no"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the checklist.

    ``key`` names it for programs and ``title`` for people; ``found`` is what the answer rests on;
    ``remedy`` is what to do about a no, and ``None`` otherwise.
    """

    key: str
    title: str
    answer: Answer
    found: str
    remedy: str | None = None


def yes(key: str, title: str, found: str) -> Point:
    """A point that holds."""
    return Point(key=key, title=title, answer=Answer.YES, found=found)


def no(key: str, title: str, found: str, remedy: str) -> Point:
    """A point that does not hold, and what to do about it."""
    return Point(key=key, title=title, answer=Answer.NO, found=found, remedy=remedy)


def not_applicable(key: str, title: str, found: str) -> Point:
    """A point that this run has nothing to do with."""
    return Point(key=key, title=title, answer=Answer.NOT_APPLICABLE, found=found)
