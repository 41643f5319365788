"""What a session and its child say to each other: frozen values, JSON on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The session to be: the first message, parent to child.

    ``options`` are pytest's parsed options, ``files`` the test files to collect, ``modules`` the
    ``-p`` arguments, ``worker`` xdist's ``workerinput``, ``coverage`` the settings of the running
    measurement; ``markup`` says whether texts may carry colours.
    """

    parent: int
    options: Mapping[str, Any]
    modules: Sequence[str]
    files: Sequence[str]
    sys_path: Sequence[str]
    markup: bool
    worker: Mapping[str, Any] | None = None
    coverage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run one item; ``following`` is the chain of the session's next item, ``None`` at its end.

    ``failures`` is how many tests of the session have failed so far, for ``--maxfail``; the trace
    is left in the directory ``out``; ``noise`` perturbs its gradients (the fields of ``Noise``);
    ``progress`` is the file that its heartbeat goes to. Without ``judged`` the trace is all
    that is asked for, whatever the golden says.
    """

    item: str
    following: Sequence[str] | None
    failures: int
    out: str
    noise: Mapping[str, Any] | None = None
    progress: str | None = None
    judged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Tear down every fixture that the session's next item, run elsewhere, has no part in."""

    following: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The child has collected these items; ``errors`` maps node ids to what went wrong there."""

    items: Sequence[str]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The report of one phase of an item, as ``pytest_report_to_serializable`` gives it."""

    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning that pytest recorded in the child."""

    message: str
    category: str
    module: str
    filename: str
    lineno: int
    when: str
    nodeid: str
    location: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A ``Run`` or ``Settle`` is done; ``active`` are the collectors still set up."""

    active: Sequence[str] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The child ends before it was told to: ``exit``, ``interrupt``, or ``broken``."""

    how: str
    reason: str = ""
    code: int | None = None


Message = Start | Run | Settle | Stop | Ready | Reported | Warned | Finished | Left

_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (Start, Run, Settle, Stop, Ready, Reported, Warned, Finished, Left)
}


def send(connection: Connection, message: Message) -> None:
    """Write one message.

    Raises:
        OSError: nobody is listening.
    """
    fields = {name: getattr(message, name) for name in message.__dataclass_fields__}
    envelope = {"kind": type(message).__name__, "fields": fields}
    connection.send_bytes(json.dumps(envelope, default=_plain).encode())


def receive(connection: Connection) -> Message:
    """Wait for the next message.

    Raises:
        EOFError: the other side is gone.
    """
    envelope = json.loads(connection.recv_bytes())
    return _KINDS[envelope["kind"]](**envelope["fields"])


def _plain(value: object) -> object:
    """What a plugin hung on a report and JSON has no notion of: a number's value, or its text."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", None) == 1:
        return item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)
