"""Has every change of a golden its entry in the ledger? The check behind a merge request.

A golden is sealed: its last entry names the digests of trace and certificate, and loading it
proves that they are its own. Against a base revision, the ledger may only have grown, whatever
else changed must have brought an entry, and what is gone must stand in ``removed.jsonl``.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.environment.history import base_commit, files_at
from goldtrace.errors import GoldtraceError, UsageError
from goldtrace.model.calibration_codec import CALIBRATION
from goldtrace.model.codec import HEADER
from goldtrace.model.sealed import sha256
from goldtrace.store.directory import fingerprint
from goldtrace.store.golden import FILES
from goldtrace.store.ledger import LEDGER, decode_ledger
from goldtrace.store.names import is_name
from goldtrace.store.removals import REMOVED, Removal, append_removal, decode_removals
from goldtrace.workflow.commands import goldens_above
from goldtrace.workflow.signing import sign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.store.golden import GoldenStore

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A change that no entry accounts for: ``where`` is a path below the golden directory."""

    where: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was looked at, against which commit, and what is wrong with it.

    ``notes`` are what older ledgers cannot prove.
    """

    goldens: int
    base: str | None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def audit(store: GoldenStore, *, root: Path, base: str | None = None) -> Audit:
    """Hold the goldens that are there against the commit at which this branch left ``base``.

    Without ``base``, against the current commit: what a commit is about to change.

    Raises:
        UsageError: git cannot read the base, or there is no folder of goldens now nor then.
    """
    commit = base_commit(root, base)
    folder = Path(os.path.relpath(store.root, root)).as_posix()
    before = files_at(root, commit, folder) if commit is not None else {}
    if not before and not store.root.is_dir():
        # A misspelt folder must not look like one in which every change has its entry.
        raise UsageError(
            "there is no such folder of goldens",
            where=str(store.root),
            expected="a folder that is here, or in the commit that is compared with",
            hint=goldens_above(store.root),
        )
    old = _goldens(before)
    now = {
        (run, platform): store.read(run, platform) or {}
        for run in store.runs()
        for platform in store.platforms(run)
    }
    findings: list[Finding] = []
    file = store.root / REMOVED
    removed = file.read_bytes() if file.is_file() else b""
    removals = _new_removals(before.get(REMOVED, b""), removed, findings, folder)
    notes: list[str] = []
    for key in sorted({*old, *now}):
        where = "/".join(key)
        if key not in now:
            _audit_removed(where, old[key], removals, findings)
            continue
        _audit_seal(key, store, findings, notes)
        if key in old:
            _audit_change(where, old[key], now[key], findings)
    return Audit(goldens=len(now), base=commit, findings=tuple(findings), notes=tuple(notes))


def remove(store: GoldenStore, name: str, *, root: Path, reason: str) -> list[str]:
    """Remove the goldens of a run, or of ``RUN/PLATFORM``, and write down that they are gone.

    Raises:
        UsageError: there is no such golden.
        StoreError: one cannot be removed.
    """
    run, _, only = name.partition("/")
    platforms = [p for p in (store.platforms(run) if is_name(run) else []) if only in ("", p)]
    if not platforms:
        raise UsageError(
            f"no golden {name!r}",
            where=str(store.root),
            expected=", ".join(f"{run}/{p}" for run in store.runs() for p in store.platforms(run))
            or "a golden",
        )
    for platform in platforms:
        found = store.fingerprint(run, platform) or ""
        entry = sign(reason, root=root, moved="removed")
        removal = Removal(
            run=run,
            platform=platform,
            golden=found,
            when=entry.when,
            who=entry.who,
            reason=reason,
        )
        # In this order, so that no golden ever goes without a word.
        append_removal(store.root, removal)
        store.remove(run, platform, expected=found)
    return [f"{run}/{platform}" for platform in platforms]


def _goldens(files: Mapping[str, bytes]) -> dict[tuple[str, str], Files]:
    goldens: dict[tuple[str, str], Files] = {}
    for name, content in files.items():
        parts = name.split("/")
        if len(parts) == 3 and parts[2] in FILES and is_name(parts[1]):  # noqa: PLR2004 - run, platform, file
            goldens.setdefault((parts[0], parts[1]), {})[parts[2]] = content
    return goldens


def _new_removals(
    before: bytes, now: bytes, findings: list[Finding], top: str
) -> Sequence[Removal]:
    if not now.startswith(before):
        findings.append(_rewritten(REMOVED))
        return ()
    try:
        return decode_removals(now[len(before) :], where=REMOVED)
    except GoldtraceError as error:
        findings.append(
            Finding(
                where=REMOVED,
                what=error.what,
                hint=f"git restore {shlex.quote(f'{top}/{REMOVED}')}",
            )
        )
        return ()


def _audit_removed(
    where: str, old: Files, removals: Sequence[Removal], findings: list[Finding]
) -> None:
    golden = fingerprint(old)
    if not any(f"{r.run}/{r.platform}" == where and r.golden == golden for r in removals):
        findings.append(
            Finding(
                where=where,
                what=f"the golden was removed, and {REMOVED} says nothing of it",
                hint="restore it, then "
                f"goldtrace ledger --remove {shlex.quote(where)} --reason '…'",
            )
        )


def _audit_seal(
    key: tuple[str, str], store: GoldenStore, findings: list[Finding], notes: list[str]
) -> None:
    where = "/".join(key)
    try:
        golden = store.load(*key)
    except GoldtraceError as error:
        differs = f": {error.found}, not {error.expected}" if error.found and error.expected else ""
        findings.append(
            Finding(
                where=where,
                what=f"{error.where}: {error.what}{differs}",
                hint=error.hint or "restore it from version control, or record it again",
            )
        )
        return
    if golden is not None and golden.calibration and golden.ledger[-1].certificate is None:
        notes.append(
            f"{where}: its last ledger entry is of an older goldtrace, which did not write down "
            f"the digest of {CALIBRATION}: whether it is the one that was measured then can't be "
            "proven"
        )


def _audit_change(where: str, old: Files, new: Files, findings: list[Finding]) -> None:
    before, after = old.get(LEDGER, b""), new.get(LEDGER, b"")
    if not after.startswith(before):
        findings.append(_rewritten(f"{where}/{LEDGER}"))
        return
    changed = sorted(n for n in {*old, *new} if n != LEDGER and old.get(n) != new.get(n))
    if changed and before == after:
        findings.append(
            Finding(
                where=where,
                what=f"{', '.join(changed)} changed without an entry in {LEDGER}",
                hint="restore it, and let goldtrace record or goldtrace accept change it",
            )
        )
        return
    _audit_chain(where, old, before, new, findings)


def _audit_chain(
    where: str, old: Files, before: bytes, new: Files, findings: list[Finding]
) -> None:
    """Each new entry must say that it replaces the golden of the one before it."""
    try:
        history = decode_ledger(new)
    except GoldtraceError:
        return  # Found when the golden was loaded.
    known = len(before.splitlines())
    fitting: set[str | None] = {history[known - 1].golden} if known else {None}
    if HEADER in old:
        fitting.add(sha256(old[HEADER]))
    for number, entry in enumerate(history[known:], start=known + 1):
        if entry.previous not in fitting:
            findings.append(
                Finding(
                    where=f"{where}/{LEDGER}:{number}",
                    what="the entry replaces another golden than the one before it",
                    hint="take the base's golden and ledger, then record or accept again",
                )
            )
            return
        fitting = {entry.golden}


def _rewritten(where: str) -> Finding:
    return Finding(
        where=where,
        what="history was rewritten: lines of the base are gone or changed",
        hint="put the base's lines back, in their order, and the new ones after them",
    )
