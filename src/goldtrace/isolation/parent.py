"""The session's end: start a child, have it run items, notice its death, end it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from multiprocessing.connection import Pipe
from typing import IO, TYPE_CHECKING, Any

from goldtrace.errors import RunnerDiedError, UsageError
from goldtrace.isolation.messages import (
    Finished,
    Left,
    Ready,
    Reported,
    Settle,
    Stop,
    Warned,
    receive,
    send,
)
from goldtrace.launch import child_environment, describe_status
from goldtrace.process_group import end, has_ended, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from goldtrace.isolation.messages import (
        Message,
        Run,
        Start,
    )

_STDERR_LINES = 20
_ALIVE_CHECK = 0.2  # seconds between looks at whether a silent child still lives
_INTERRUPT_GRACE = 5.0  # seconds for fixtures to be torn down after Ctrl-C
_STOP_GRACE = 60.0  # seconds for the end of the child's session


class ChildLeftError(Exception):
    """The child ended its session early and said why."""

    def __init__(self, left: Left) -> None:
        super().__init__(left.reason)
        self.left = left


class Child:
    """A pinned pytest in a process of its own; ``active`` are the keys of what is set up there.

    The channel is a socket pair that the child inherits: no name to find, no key to know, and its
    end tells at once that the other side is gone.
    """

    def __init__(
        self,
        start: Start,
        environment: Mapping[str, str],
        *,
        cwd: Path,
        log: Path | None,
        on_warning: Callable[[Warned], None],
    ) -> None:
        """Start the process; ``log`` takes its output, ``None`` lets it share this one's."""
        self.active: list[str] = []
        self._environment = environment
        self._on_warning = on_warning
        self._log = log
        self._ready: Ready | None = None
        self._connection, theirs = Pipe()
        with theirs, _output(log) as stream:
            self._process = _spawn(theirs, environment, cwd, stream)
        with contextlib.suppress(OSError):  # its death is reported when an answer is awaited
            send(self._connection, start)

    def run(
        self,
        request: Run,
        on_report: Callable[[dict[str, Any]], None],
        *,
        where: str,
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        """Have one item run; its reports arrive one by one, ``on_wait`` is called between them.

        Raises:
            RunnerDiedError: the process ended.
            UsageError: it has not collected this item.
            ChildLeftError: the session in the child ended.
        """
        ready = self._collected(where)
        if request.item not in ready.items:
            errors = "\n".join(ready.errors.values())
            raise UsageError(
                "the child process, which runs golden tests, could not collect this test",
                where=where,
                found=errors or "other tests in the same file",
                hint="pytest --golden-in-process shows whether it runs without a child",
            )
        self._request(request, where)
        while True:
            match self._await(where, on_wait):
                case Reported(report=report):
                    on_report(dict(report))
                case Finished(active=active):
                    self.active = list(active)
                    return
                case unexpected:
                    raise AssertionError(unexpected)

    def settle(self, following: Sequence[str] | None, *, where: str) -> str | None:
        """Have fixtures torn down before an item that runs elsewhere; the error, if any."""
        if self.active == list(following or ())[: len(self.active)]:
            return None
        self._request(Settle(following=following), where)
        match self._await(where):
            case Finished(active=active, error=error):
                self.active = list(active)
                return error
            case unexpected:
                raise AssertionError(unexpected)

    def close(self) -> None:
        """End the session in the child and wait for it; remaining fixtures are torn down there."""
        with contextlib.suppress(OSError):
            send(self._connection, Stop())
        self._wait(_STOP_GRACE)

    def interrupt(self) -> None:
        """Do to the child what Ctrl-C did to this process, and wait for it briefly."""
        if not self._connection.closed and not has_ended(self._process):
            self._process.send_signal(signal.SIGINT)
        self._wait(_INTERRUPT_GRACE)

    def kill(self) -> None:
        """End the child and its data loader workers at once."""
        self._wait(0)

    def _collected(self, where: str) -> Ready:
        if self._ready is None:
            match self._await(where):
                case Ready() as ready:
                    self._ready = ready
                case unexpected:
                    raise AssertionError(unexpected)
        return self._ready

    def _request(self, message: Message, where: str) -> None:
        try:
            send(self._connection, message)
        except OSError:
            raise self._died(where) from None

    def _await(self, where: str, on_wait: Callable[[], None] | None = None) -> Message:
        while True:
            # Data loader workers keep the channel open after a killed child: look at it as well.
            while not self._connection.poll(_ALIVE_CHECK):
                if has_ended(self._process) and not self._connection.poll(0):
                    raise self._died(where)
                if on_wait is not None:
                    on_wait()
            try:
                message = receive(self._connection)
            except (EOFError, OSError):
                raise self._died(where) from None
            match message:
                case Warned():
                    self._on_warning(message)
                case Left():
                    raise ChildLeftError(message)
                case _:
                    return message

    def _died(self, where: str) -> RunnerDiedError:
        ended = wait_for(self._process, _INTERRUPT_GRACE)
        self.kill()
        status = describe_status(self._process.returncode)
        ending = status if ended else "it closed its channel and hangs"
        lines = self._log.read_text(errors="replace").splitlines() if self._log else []
        fatal = [i for i, line in enumerate(lines) if line.startswith("Fatal Python error")]
        lines = lines[fatal[-1] :][:_STDERR_LINES] if fatal else lines[-_STDERR_LINES:]
        last = "\n".join(f"    {line}" for line in lines)
        return RunnerDiedError(
            "the child process that ran this golden test died",
            where=where,
            found=ending + (f"; its last output:\n{last}" if last else ""),
            hint="the remaining golden tests go on in a new process",
        )

    def _wait(self, seconds: float) -> None:
        try:
            wait_for(self._process, seconds)
        finally:
            end(self._process)
            self._connection.close()


def _spawn(
    theirs: Connection, environment: Mapping[str, str], cwd: Path, stream: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    # -E and -I would have the interpreter ignore the very variables that pin it.
    flags = [
        flag
        for flag in subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
        if flag not in ("-E", "-I")
    ]
    return subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, *flags, "-m", "goldtrace.isolation", str(theirs.fileno())],
        cwd=cwd,
        env=child_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=stream,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,  # Ctrl-C is for the session, which ends its children in order
    )


@contextlib.contextmanager
def _output(log: Path | None) -> Any:
    if log is None:
        sys.stdout.flush()
        yield None
    else:
        with log.open("ab") as stream:
            yield stream
