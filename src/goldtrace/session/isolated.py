"""The plugin that has a session's golden tests run in pinned children and replays their reports."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import GoldtraceError, RunnerDiedError
from goldtrace.heartbeat import steps_done
from goldtrace.isolation.chain import item_key, node_keys
from goldtrace.isolation.coverage import collect_into_session, measurement
from goldtrace.isolation.messages import Left, Run, Start
from goldtrace.isolation.options import child_modules, child_options
from goldtrace.isolation.parent import Child, ChildLeftError
from goldtrace.session.candidates import announce, owes_candidate, propose_for_test
from goldtrace.session.identity import GOLDEN, uses_golden_run
from goldtrace.session.outcome import describe_in_junit, outcome_of
from goldtrace.session.progress import shown
from goldtrace.session.replay import Replay
from goldtrace.session.settings import settings_of, trace_folder
from goldtrace.session.updating import Attempt, update
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from goldtrace.isolation.messages import Warned
    from goldtrace.model.noise import Noise
    from goldtrace.session.identity import GoldenTest

_Key = tuple[int, tuple[tuple[str, str], ...]]


class IsolatedSession:
    """One child for each set of pins, started at the first test that needs it.

    Updating takes a second child beside it, whose traces must equal those of the first.
    """

    def __init__(self, config: pytest.Config, sys_path: list[str]) -> None:
        self._config = config
        self._settings = settings_of(config)
        self._sys_path = sys_path
        self._children: dict[_Key, Child] = {}
        self._count = 0
        self._scratch = Path(tempfile.mkdtemp(prefix="goldtrace-"))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Whatever ends the session ends its children.

        Innermost, because pytest-cov sums up when the loop is left.
        """
        try:
            outcome = yield
        except (pytest.Session.Failed, pytest.Session.Interrupted):
            self._end(Child.close)
            raise
        except BaseException:
            self._end(Child.interrupt)
            raise
        self._end(Child.close)
        return outcome

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a golden test in its child; every other test is pytest's business."""
        golden = item.stash.get(GOLDEN, None)
        if golden is None or not _goes_to_child(item, golden):
            return None
        hook, session = item.ihook, item.session
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        *reports, teardown = self._reports(item, golden, nextitem)
        try:
            self._propose(item, golden, [*reports, teardown])
        except BaseException:
            # The verdict is there, whatever ends the session before there is a candidate.
            for report in (*reports, teardown):
                hook.pytest_runtest_logreport(report=report)
            raise
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        if session.shouldfail or session.shouldstop:
            nextitem = None
        error = self._tear_down(item, nextitem)
        if error is not None and teardown.passed:
            teardown.outcome, teardown.longrepr = "failed", error
        hook.pytest_runtest_logreport(report=teardown)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """After a test of this process: it may end a module whose fixtures a child still holds."""
        try:
            outcome = yield
        except BaseException:
            self._settle(item, nextitem)
            raise
        error = self._settle(item, nextitem)
        if error is not None:
            pytest.fail(error, pytrace=False)
        return outcome

    def _reports(
        self, item: pytest.Item, golden: GoldenTest, nextitem: pytest.Item | None
    ) -> list[pytest.TestReport]:
        """The reports of all phases; the goldens that are due have been written."""
        kept = trace_folder(self._settings, golden.spec.name, golden.device or "")
        following = node_keys(nextitem) if nextitem is not None else None
        first = self._attempt(0, item, golden, following, kept)
        for report in first.reports:
            outcome = outcome_of(report)
            # A test that ended in an error, in its teardown for example, makes no golden.
            if outcome is not None and outcome.due and first.passed:
                second = self._attempt(1, item, golden, None, None)
                update(
                    golden,
                    [first, second],
                    self._settings,
                    report,
                    # In the second child, with every fixture anew.
                    perturbed=lambda noise: self._attempt(1, item, golden, None, None, noise=noise),
                )
        # What was written, or what went wrong in the child, is said by other reports than JUnit's.
        for outcome in filter(None, map(outcome_of, first.reports)):
            describe_in_junit(first.reports, outcome)
        return list(first.reports)

    def _propose(
        self, item: pytest.Item, golden: GoldenTest, reports: list[pytest.TestReport]
    ) -> None:
        """Store a candidate golden where nothing but its verdict has failed the test."""
        folder = trace_folder(self._settings, golden.spec.name, golden.device or "")
        if folder is None or not owes_candidate(reports, self._settings):
            return
        announce(self._config, f"{golden.spec.name} once more, for a candidate golden")
        propose_for_test(
            reports,
            folder,
            self._settings,
            again=lambda: self._attempt(1, item, golden, None, None, judged=False),
            perturbed=lambda noise: self._attempt(1, item, golden, None, None, noise=noise),
        )

    def _attempt(
        self,
        place: int,
        item: pytest.Item,
        golden: GoldenTest,
        following: list[str] | None,
        folder: Path | None,
        *,
        noise: Noise | None = None,
        judged: bool = True,
    ) -> Attempt:
        """Run the item once, in the first or the second child."""
        self._count += 1
        folder = folder or self._scratch / f"trace-{self._count}"
        replay = Replay(item)
        beats = self._scratch / f"steps-{self._count}"
        request = Run(
            item=item_key(item),
            following=following,
            failures=item.session.testsfailed if place == 0 else 0,
            out=str(folder),
            noise=None if noise is None else {"ulp": noise.ulp, "seed": noise.seed},
            progress=str(beats),
            judged=judged,
        )
        key = (place, tuple(sorted(golden.environment().items())))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._start(key, item.session)
        try:
            with shown(self._config, self._length(golden)) as show:
                look = None if show is None else lambda: show(steps_done(beats))
                child.run(request, replay.take, where=item.nodeid, on_wait=look)
        except RunnerDiedError as error:
            del self._children[key]
            replay.fail(error)
        except ChildLeftError as error:
            del self._children[key]
            child.close()
            match error.left:
                case Left(how="exit", reason=reason, code=code):
                    raise pytest.exit.Exception(reason, code) from None
                case Left(how="interrupt"):
                    raise KeyboardInterrupt from None
                case Left(reason=reason):
                    replay.fail(
                        RunnerDiedError(
                            "the child process that runs golden tests gave up",
                            where=item.nodeid,
                            found=reason,
                        )
                    )
        except GoldtraceError as error:
            replay.fail(error)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - see below
            # Plugins such as pytest-timeout raise out of the waiting.
            del self._children[key]
            child.kill()
            replay.fail(RunnerDiedError(str(error), where=item.nodeid))
        return Attempt(reports=replay.reports, folder=folder)

    def _length(self, golden: GoldenTest) -> int | None:
        return GoldenStore(self._settings.golden_dir).step_count(golden.spec.name)

    def _start(self, key: _Key, session: pytest.Session) -> Child:
        config = self._config
        self._count += 1
        files = {
            str(item.path): None
            for item in session.items
            if item.stash.get(GOLDEN, None) is not None and uses_golden_run(item)
        }
        basetemp = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # noqa: SLF001 - as xdist does
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        captured = config.option.capture == "fd"
        start = Start(
            parent=os.getpid(),
            options=child_options(config, basetemp=basetemp / f"golden-child-{self._count}"),
            modules=child_modules(config),
            files=list(files),
            sys_path=self._sys_path,
            markup=terminal is not None and terminal.hasmarkup,
            worker=getattr(config, "workerinput", None),
            coverage=measurement(self._scratch),
        )
        return Child(
            start,
            dict(key[1]),
            cwd=config.invocation_params.dir,
            log=self._scratch / f"output-{self._count}.log" if captured else None,
            # The second child repeats the first, warnings included.
            on_warning=self._warned if key[0] == 0 else _ignored,
        )

    def _tear_down(self, item: pytest.Item, nextitem: pytest.Item | None) -> str | None:
        """Do for the session what pytest's teardown of this item would have done."""
        try:
            item.session._setupstate.teardown_exact(nextitem)  # noqa: SLF001 - as pytest's runner
        except Exception as raised:  # noqa: BLE001 - whatever a fixture raises is its error
            shown = pytest.ExceptionInfo.from_exception(raised)
            error = str(item._repr_failure_py(shown, style="short"))  # noqa: SLF001 - as TestReport
            return "\n".join(filter(None, [error, self._settle(item, nextitem)]))
        return self._settle(item, nextitem)

    def _settle(self, item: pytest.Item, nextitem: pytest.Item | None) -> str | None:
        """Have every child tear down what the next item has no part in; the errors, if any."""
        following = node_keys(nextitem) if nextitem is not None else None
        errors = []
        for key, child in list(self._children.items()):
            try:
                errors.append(child.settle(following, where=item.nodeid))
            except (RunnerDiedError, ChildLeftError) as error:  # noqa: PERF203 - each its own
                del self._children[key]
                child.kill()
                errors.append(str(error))
        return "\n".join(filter(None, errors)) or None

    def _warned(self, warned: Warned) -> None:
        # Looked up, never imported: that could bring torch into this process.
        category = getattr(sys.modules.get(warned.module), warned.category, None)
        message = warned.message
        if not (isinstance(category, type) and issubclass(category, Warning)):
            category, message = UserWarning, f"{warned.category}: {message}"
        self._config.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warnings.WarningMessage(
                    message, category, warned.filename, warned.lineno
                ),
                "when": warned.when,
                "nodeid": warned.nodeid,
                "location": tuple(warned.location) if warned.location is not None else None,
            }
        )

    def _end(self, ending: Callable[[Child], None]) -> None:
        children, self._children = list(self._children.values()), {}
        try:
            for child in children:
                ending(child)
            collect_into_session(self._scratch)
        finally:
            for child in children:
                child.kill()
            shutil.rmtree(self._scratch, ignore_errors=True)


def _ignored(_warned: Warned) -> None:
    pass


def _goes_to_child(item: pytest.Item, golden: GoldenTest) -> bool:
    # pytest skips an item with this mark before any of its fixtures: no child is needed for that.
    return (
        uses_golden_run(item)
        and golden.device is not None
        and item.get_closest_marker("skip") is None
    )
