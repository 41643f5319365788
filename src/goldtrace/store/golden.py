"""Goldens on disk: load one, plan a change, apply the plan."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.errors import GoldenError, GoldtraceError, StoreError
from goldtrace.model import sealed
from goldtrace.model.calibration_codec import CALIBRATION, decode_calibration, encode_calibration
from goldtrace.model.codec import FILES as TRACE_FILES
from goldtrace.model.codec import (
    HEADER,
    STEPS,
    decode_trace,
    encode_repeatable,
    encode_trace,
    trace_digest,
)
from goldtrace.store import directory
from goldtrace.store.certificate import (
    CERTIFICATE,
    FEWEST,
    Certificate,
    decode_certificate,
    encode_certificate,
)
from goldtrace.store.ledger import LEDGER, decode_ledger, encode_entry
from goldtrace.store.names import check_name, is_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace
    from goldtrace.store.ledger import LedgerEntry

__all__ = ["Certificate", "Golden", "GoldenStore", "Plan", "PlanAction"]

FILES = (*TRACE_FILES, CERTIFICATE, CALIBRATION, LEDGER)
"""The files of a golden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A trace that was accepted; ``ledger`` has the oldest entry first, and at least one."""

    trace: Trace
    certificate: Certificate
    ledger: tuple[LedgerEntry, ...]
    calibration: Calibration | None = None


class PlanAction(enum.Enum):
    """What applying a plan does."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A change of one golden, as a value: nothing is written before ``GoldenStore.apply``.

    ``files`` is the whole content of the golden's directory afterwards; ``entry`` the new line of
    the ledger (not written if unchanged); ``expected`` is the fingerprint of the files that were
    there; ``calibration`` is the one that the golden has afterwards.
    """

    run: str
    platform: str
    action: PlanAction
    entry: LedgerEntry
    files: Mapping[str, bytes]
    expected: str | None
    calibration: Calibration | None = None


class GoldenStore:
    """The goldens under one directory: ``<root>/<run>/<platform>/``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self, run: str, platform: str) -> Golden | None:
        """The golden of a run on a platform; ``None`` if there is none.

        Raises:
            GoldenError: it is damaged, or of a schema that cannot be read.
            StoreError: its files cannot be read, or a name leads elsewhere.
        """
        files = self.read(run, platform)
        return None if files is None else self._decode(files, run, platform)

    def runs(self) -> list[str]:
        """The names of the runs that have a golden, damaged ones included."""
        return [run for run in _directories(self.root) if self.platforms(run)]

    def platforms(self, run: str) -> list[str]:
        """The platforms that a run has a golden for, damaged ones included."""
        names = {
            name.removeprefix(".").removesuffix(".next") if name.startswith(".") else name
            for name in _directories(self.root / check_name(run, what="run"), staged=True)
        }
        return sorted(name for name in names if self._is_golden(run, name))

    def origins(self) -> Mapping[str, str]:
        """What each run's golden came from: an entry point, or the id of a test.

        A run none of whose headers can be read is left out.
        """
        origins = {}
        for run in _directories(self.root):
            for platform in self.platforms(run):
                origin = self._origin(run, platform)
                if origin is not None:
                    origins[run] = origin
                    break
        return origins

    def fingerprint(self, run: str, platform: str) -> str | None:
        """What tells this content of a golden from every other; ``None`` if there is none.

        Raises:
            StoreError: its files cannot be read, or a name leads elsewhere.
        """
        return directory.fingerprint(self.read(run, platform))

    def plan(
        self,
        trace: Trace,
        *,
        certificate: Certificate,
        entry: LedgerEntry,
        calibration: Calibration | None = None,
    ) -> Plan:
        """The change that makes ``trace`` the golden of its run and platform.

        The digests of ``entry`` are filled in. A golden that differs in nothing but the revision
        of the repository and the lines of its code is left as it is, for its own commit would
        change it again. Without a ``calibration``, that of an equal trace stays.

        Raises:
            StoreError: the certificate or the calibration is not for this trace, or the files
                cannot be read.
            GoldenError: the ledger of the golden that is there is damaged.
            RecordingError: the trace cannot be written.
        """
        run, platform = trace.header.run, trace.header.platform
        files = encode_trace(trace)
        decode_trace(files)  # Nothing is written that could not be read.
        digest = trace_digest(files)
        if certificate.digest != digest or certificate.processes < FEWEST:
            raise StoreError(
                "the certificate does not prove this trace repeatable",
                where=f"{run} on {platform}",
                expected=f"{FEWEST} or more processes that agreed on {digest}",
                found=f"{certificate.processes} that agreed on {certificate.digest}",
            )
        if calibration is not None and calibration.golden != digest:
            raise StoreError(
                "the calibration was measured with another golden",
                where=f"{run} on {platform}",
                expected=digest,
                found=calibration.golden,
            )
        old_files = self.read(run, platform)
        old = None
        if old_files is not None:
            # A damaged golden is what people replace.
            with contextlib.suppress(GoldenError):
                old = self._decode(old_files, run, platform)
        history = self._history(old_files, run, platform)
        previous = trace_digest(old_files) if old and old_files else None
        if previous is None and history:
            previous = history[-1].golden
        entry = dataclasses.replace(entry, golden=digest, previous=previous)
        lines = b"" if old_files is None else old_files.get(LEDGER, b"")
        action = PlanAction.CREATED if old_files is None else PlanAction.REPLACED
        if old and calibration is None and encode_repeatable(old.trace) == encode_repeatable(trace):
            calibration = old.calibration
        if old and old_files and _covers(old, old_files, trace, certificate, calibration):
            action, files = PlanAction.UNCHANGED, dict(old_files)
        else:
            sealed_by = None
            if calibration is not None:
                calibration = dataclasses.replace(calibration, golden=digest)
                files[CALIBRATION] = encode_calibration(calibration)
                decode_calibration(files[CALIBRATION])
                sealed_by = sealed.sha256(files[CALIBRATION])
            certificate = dataclasses.replace(certificate, calibration=sealed_by)
            files[CERTIFICATE] = encode_certificate(certificate)
            entry = dataclasses.replace(entry, certificate=sealed.sha256(files[CERTIFICATE]))
            files[LEDGER] = lines + encode_entry(entry)
        return Plan(
            run=run,
            platform=platform,
            action=action,
            entry=entry,
            files=files,
            expected=directory.fingerprint(old_files),
            calibration=calibration,
        )

    def apply(self, plan: Plan) -> None:
        """Carry out a plan: afterwards, whatever happens, there is the old golden or the new one.

        Raises:
            StoreError: it cannot be written, or the golden was changed since the plan was made.
        """
        if plan.action is PlanAction.UNCHANGED:
            return
        run = self.root / check_name(plan.run, what="run")
        platform = check_name(plan.platform, what="platform")
        directory.replace(run, platform, plan.files, names=FILES, expected=plan.expected)

    def step_count(self, run: str) -> int | None:
        """How many steps the run has by its goldens, unverified: for showing progress."""
        for platform in self.platforms(run):
            with contextlib.suppress(OSError):
                content = (self.root / run / platform / STEPS).read_bytes()
                # Less the state before the first step and that after the last.
                return max(1, content.count(b"\n") - 2)
        return None

    def remove(self, run: str, platform: str, *, expected: str) -> None:
        """Remove the golden whose fingerprint is ``expected``, all of it or nothing.

        Raises:
            StoreError: it cannot be removed, or was changed in the meantime.
        """
        place = self.root / check_name(run, what="run")
        directory.remove(
            place, check_name(platform, what="platform"), names=FILES, expected=expected
        )

    def read(self, run: str, platform: str) -> dict[str, bytes] | None:
        """The files of a golden as they are, whole or damaged; ``None`` if there is none.

        Raises:
            StoreError: they cannot be read, or a name leads elsewhere.
        """
        check_name(run, what="run")
        check_name(platform, what="platform")
        return directory.read(self.root / run, platform, FILES)

    def _decode(self, files: Mapping[str, bytes], run: str, platform: str) -> Golden:
        with _located(self.root / run / platform):
            certificate = decode_certificate(files)
            trace = decode_trace(files)
            _require(HEADER, "golden", certificate.digest, trace_digest(files))
            ledger = decode_ledger(files)
            _require(f"{LEDGER}:{len(ledger)}", "golden", trace_digest(files), ledger[-1].golden)
            if ledger[-1].certificate is not None:
                found = sealed.sha256(files[CERTIFICATE])
                _require(f"{LEDGER}:{len(ledger)}", "certificate", found, ledger[-1].certificate)
            _require(HEADER, "run", run, trace.header.run)
            _require(HEADER, "platform", platform, trace.header.platform)
            calibration = None
            if certificate.calibration is not None or CALIBRATION in files:
                if CALIBRATION not in files:
                    raise GoldenError("the file is missing", where=CALIBRATION, hint=sealed.RESTORE)
                calibration = decode_calibration(files[CALIBRATION])
                found = sealed.sha256(files[CALIBRATION])
                _require(CALIBRATION, "calibration", certificate.calibration or "none", found)
                _require(CALIBRATION, "golden", trace_digest(files), calibration.golden)
        return Golden(trace=trace, certificate=certificate, ledger=ledger, calibration=calibration)

    def _history(
        self, files: Mapping[str, bytes] | None, run: str, platform: str
    ) -> tuple[LedgerEntry, ...]:
        """The ledger, which must outlive the golden that it belongs to."""
        if files is None or LEDGER not in files:
            return ()
        with _located(self.root / run / platform):
            try:
                return decode_ledger(files)
            except GoldenError as error:
                error.hint = (
                    f"restore {LEDGER} from version control; or delete it, and its history with it"
                )
                raise

    def _is_golden(self, run: str, platform: str) -> bool:
        try:
            check_name(platform, what="platform")
            return directory.exists(self.root / run, platform, FILES)
        except StoreError:
            return False

    def _origin(self, run: str, platform: str) -> str | None:
        try:
            header = (directory.read(self.root / run, platform, (HEADER,)) or {})[HEADER]
            origin = sealed.parse(header, where=HEADER).get("origin")
        except (GoldtraceError, KeyError):
            return None
        return origin if isinstance(origin, str) else None


def _covers(
    old: Golden,
    old_files: Mapping[str, bytes],
    trace: Trace,
    certificate: Certificate,
    calibration: Calibration | None,
) -> bool:
    """Whether the old golden says all that the new one would."""
    older_format = encode_trace(old.trace)[HEADER] != old_files[HEADER]
    return (
        not older_format
        and (calibration is None or _measured(calibration) == _measured(old.calibration))
        and certificate.processes <= old.certificate.processes
        and encode_repeatable(old.trace) == encode_repeatable(trace)
    )


def _measured(calibration: Calibration | None) -> bytes | None:
    """A calibration but for the digest of its golden, which changes with the revision."""
    if calibration is None:
        return None
    return encode_calibration(dataclasses.replace(calibration, golden=""))


def _directories(path: Path, *, staged: bool = False) -> list[str]:
    """The directories in ``path`` whose names the store uses; with ``staged`` its own as well."""
    if not path.is_dir():
        return []
    names = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
    return [
        name
        for name in names
        if is_name(name) or (staged and name.endswith(".next") and is_name(name[1:-5]))
    ]


def _require(where: str, what: str, expected: str, found: str) -> None:
    if expected != found:
        raise GoldenError(
            f"the {what} is another one",
            where=where,
            expected=expected,
            found=found,
            hint=sealed.RESTORE,
        )


@contextlib.contextmanager
def _located(path: Path) -> Iterator[None]:
    """Prefix the file that an error names with the directory of the golden."""
    try:
        yield
    except GoldenError as error:
        error.where = f"{path}/{error.where}"
        raise
