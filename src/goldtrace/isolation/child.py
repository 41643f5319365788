"""The child: a pytest session that runs the golden tests one by one, on request."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from _pytest.config import ConftestImportFailure, create_terminal_writer
from _pytest.runner import runtestprotocol

import goldtrace
from goldtrace.isolation.chain import item_key, node_keys, stand_in
from goldtrace.isolation.coverage import measuring
from goldtrace.isolation.messages import (
    Finished,
    Left,
    Ready,
    Reported,
    Run,
    Settle,
    Start,
    Warned,
    receive,
    send,
)
from goldtrace.isolation.options import unpack
from goldtrace.isolation.role import JUDGED, NOISE, OUT, PROGRESS
from goldtrace.lifeline import end_with
from goldtrace.model.noise import Noise

if TYPE_CHECKING:
    import warnings
    from collections.abc import Generator, Mapping, Sequence


def main(descriptor: int) -> int:
    """Serve the session at the other end of the socket ``descriptor`` until it is done."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - positional only
    connection = Connection(descriptor)
    try:
        start = receive(connection)
    except EOFError:
        return 1
    if not isinstance(start, Start):
        return 1
    end_with(start.parent)
    # Imported before pytest could rewrite its assertions, which it would warn about.
    goldtrace.__doc__ = f"{goldtrace.__doc__}\n\nPYTEST_DONT_REWRITE"
    sys.path[:] = start.sys_path
    with measuring(start.coverage):
        return _session(connection, start)


def _session(connection: Connection, start: Start) -> int:
    arguments = [word for module in start.modules for word in ("-p", module)] + list(start.files)
    try:
        config = pytest.Config.fromdictargs(unpack(start.options), arguments)
    except (pytest.UsageError, ConftestImportFailure) as error:
        send(connection, Left(how="broken", reason=str(error)))
        return 4
    if start.worker is not None:
        config.workerinput = dict(start.worker)  # type: ignore[attr-defined]
        config.workeroutput = {}  # type: ignore[attr-defined]
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - no path to speak of
        config.pluginmanager.register(_Server(config, connection, start, nowhere))
        try:
            return int(config.hook.pytest_cmdline_main(config=config))
        except pytest.UsageError as error:
            send(connection, Left(how="broken", reason=str(error)))
            return 4
        finally:
            config._ensure_unconfigure()  # noqa: SLF001 - as pytest.main does


class _Server:
    """The plugin that takes requests in place of pytest's own loop over all items."""

    def __init__(
        self, config: pytest.Config, connection: Connection, start: Start, nowhere: TextIO
    ) -> None:
        self._config = config
        self._connection = connection
        self._start = start
        self._nowhere = nowhere
        self._errors: dict[str, str] = {}
        self._items: dict[str, pytest.Item] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Silence what would write to the terminal or to the cache a second time."""
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            # Kept, because assertion messages are made with its writer.
            writer = create_terminal_writer(config, self._nowhere)
            writer.hasmarkup = self._start.markup
            reporter._tw = writer  # noqa: SLF001 - it has no setter
        for name in ("lfplugin", "nfplugin", "stepwiseplugin"):
            config.pluginmanager.unregister(name=name)
        sys.breakpointhook = _refuse_breakpoint

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._errors[report.nodeid] = report.longreprtext

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if "golden_run" in getattr(item, "fixturenames", ())]
        self._items = {item_key(item): item for item in items}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        send(self._connection, Ready(items=list(self._items), errors=self._errors))
        while True:
            try:
                message = receive(self._connection)
            except EOFError:
                return True
            match message:
                case Run():
                    self._run(session, message)
                case Settle(following=following):
                    self._settle(session, following)
                case _:
                    return True

    def _run(self, session: pytest.Session, request: Run) -> None:
        item = self._items[request.item]
        session.testsfailed = request.failures
        self._config.stash[OUT] = request.out
        self._config.stash[PROGRESS] = request.progress
        self._config.stash[JUDGED] = request.judged
        noise = request.noise
        self._config.stash[NOISE] = Noise(**noise) if noise is not None else None
        try:
            item.config.hook.pytest_runtest_protocol(
                item=item, nextitem=stand_in(item, request.following)
            )
        except pytest.exit.Exception as leaving:
            send(self._connection, Left(how="exit", reason=leaving.msg, code=leaving.returncode))
            raise
        except KeyboardInterrupt:
            send(self._connection, Left(how="interrupt"))
            raise
        self._finished(session)

    def _settle(self, session: pytest.Session, following: Sequence[str] | None) -> None:
        state = session._setupstate  # noqa: SLF001 - what pytest's own runner calls
        last = next(reversed(state.stack), None)
        error = None
        if last is not None:
            try:
                state.teardown_exact(stand_in(last, following))
            except Exception as raised:  # noqa: BLE001 - whatever a fixture raises is its error
                shown = pytest.ExceptionInfo.from_exception(raised)
                error = str(last._repr_failure_py(shown, style="short"))  # noqa: SLF001 - as TestReport
        self._finished(session, error)

    def _finished(self, session: pytest.Session, error: str | None = None) -> None:
        stack = list(session._setupstate.stack)  # noqa: SLF001 - what pytest's own runner calls
        active = node_keys(stack[-1]) if stack else []
        send(self._connection, Finished(active=active, error=error))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        # Through the hook, so that pytest's wrappers for warnings and assertions are in place.
        runtestprotocol(item, log=False, nextitem=nextitem)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        data: Mapping[str, Any] = self._config.hook.pytest_report_to_serializable(
            config=self._config, report=report
        )
        send(self._connection, Reported(report=data))
        session = item.session
        if report.failed and not hasattr(report, "wasxfail"):
            # What pytest's session does with logged reports: after the last failure that is
            # allowed, this item's teardown is everything's.
            session.testsfailed += 1
            maxfail = self._config.getvalue("maxfail")
            if maxfail and session.testsfailed >= maxfail:
                session.shouldfail = f"stopping after {session.testsfailed} failures"
        return report

    def pytest_warning_recorded(
        self,
        warning_message: warnings.WarningMessage,
        when: str,
        nodeid: str,
        location: tuple[str, int, str] | None,
    ) -> None:
        if when != "runtest":
            return  # the session has seen those of configuration and collection itself
        category = warning_message.category
        send(
            self._connection,
            Warned(
                message=str(warning_message.message),
                category=category.__name__,
                module=category.__module__,
                filename=warning_message.filename,
                lineno=warning_message.lineno,
                when=when,
                nodeid=nodeid,
                location=location,
            ),
        )

    def pytest_internalerror(self, excrepr: object) -> None:
        send(self._connection, Left(how="broken", reason=str(excrepr)))


def _refuse_breakpoint(*_args: object, **_kwargs: object) -> None:
    pytest.fail(
        "breakpoint() in a golden test, which runs in a child process without a terminal\n"
        "  next:     pytest --golden-in-process --pdb",
        pytrace=False,
    )
