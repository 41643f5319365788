"""One family of errors: what went wrong, where, expected, found, and the next command."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit status of every goldtrace command."""

    PASS = 0
    DRIFT = 1
    USAGE = 2
    UNUSABLE = 3
    INCONCLUSIVE = 4


class GoldtraceError(Exception):
    """Something that goldtrace can explain: shown as a message, never as a traceback.

    ``where`` is a file, line, run or step; ``expected`` and ``found`` are shown beside each
    other; ``hint`` is the command or the edit that comes next.
    """

    exit_code = ExitCode.INCONCLUSIVE

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what if self.where is None else f"{self.where}: {self.what}"]
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.found is not None:
            lines.append(f"  found:    {self.found}")
        if self.hint is not None:
            lines.append(f"  next:     {self.hint}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, str | None]:
        """The fields of the message and the name of the class, to cross a process boundary."""
        return {
            "type": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "hint": self.hint,
        }


class UsageError(GoldtraceError):
    """A command or an option that cannot be carried out as given."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """A ``run.toml`` or a ``golden`` marker that does not say what a run needs."""


class EntryPointError(UsageError):
    """An entry point that cannot be imported or called."""


class RecordingError(UsageError):
    """A run that used the recorder in a way that leaves no meaningful trace."""


class GoldenError(GoldtraceError):
    """A golden that is there and cannot be used: damaged, too new, too old."""

    exit_code = ExitCode.UNUSABLE


class CandidateError(GoldtraceError):
    """A report whose candidate goldens cannot be taken over."""

    exit_code = ExitCode.UNUSABLE


class StoreError(GoldtraceError):
    """A golden directory that cannot be read or written."""

    exit_code = ExitCode.UNUSABLE


class DataError(GoldtraceError):
    """Training data whose bytes are not the ones that the manifest lists."""


class DataUnavailableError(GoldtraceError):
    """Training data that is not on this machine and could not be fetched: the run is skipped."""


class DeviceUnavailableError(GoldtraceError):
    """A device that this machine lacks: the run is skipped."""


class PlatformUnsupportedError(GoldtraceError):
    """A machine that the run's profile does not cover: no golden can apply to it."""

    exit_code = ExitCode.UNUSABLE


class PinError(GoldtraceError):
    """A determinism pin that is not in force."""


class RunError(GoldtraceError):
    """The user's training code raised; ``traceback`` shows their frames."""

    def __init__(self, what: str, *, traceback: str | None = None, **fields: str | None) -> None:
        super().__init__(what, **fields)
        self.traceback = traceback

    def to_json(self) -> dict[str, str | None]:
        """The fields of the message, the user's frames among them."""
        return {**super().to_json(), "traceback": self.traceback}


class NondeterministicOperatorError(RunError):
    """An operator that torch has no deterministic implementation of was called under the pins."""


class RunnerDiedError(GoldtraceError):
    """The child process ended without an answer."""


class NotRepeatableError(GoldtraceError):
    """Two fresh processes did not agree bit for bit, so there is nothing to certify."""


class GoldenRoundingWarning(UserWarning):
    """A run whose bits differ from its golden's by no more than it may: green, but look at it."""


def error_from_json(fields: dict[str, str | None]) -> GoldtraceError:
    """The error that ``to_json`` described; an unknown class comes back as ``GoldtraceError``."""
    fields = dict(fields)
    name = fields.pop("type")
    what = fields.pop("what") or ""
    for candidate in _family(GoldtraceError):
        if candidate.__name__ == name:
            return candidate(what, **fields)
    return GoldtraceError(what, **fields)


def _family(parent: type[GoldtraceError]) -> list[type[GoldtraceError]]:
    return [parent, *(c for child in parent.__subclasses__() for c in _family(child))]
