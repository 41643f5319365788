"""Running golden tests in this process: recording around the test, the verdict in its call."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import PinError
from goldtrace.heartbeat import Heartbeat
from goldtrace.isolation.role import JUDGED, NOISE, OUT, PROGRESS, is_isolated
from goldtrace.model.codec import write_files
from goldtrace.session.identity import GOLDEN
from goldtrace.session.outcome import RESULT, express
from goldtrace.session.settings import settings_of, trace_folder
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.checking import judge, keep, remember

if TYPE_CHECKING:
    from collections.abc import Generator

    from goldtrace.recording import GoldenRun
    from goldtrace.session.identity import GoldenTest

_RUN = pytest.StashKey["GoldenRun"]()
_UNDO = pytest.StashKey[ExitStack]()


def run_of(item: pytest.Item) -> GoldenRun:
    """The recorder of a running golden test: the value of its fixture."""
    if _RUN not in item.stash:
        pytest.fail(
            f"{item.nodeid}: golden_run was asked for while the test was running\n"
            "  expected: an argument of the test or of a fixture, or "
            "pytest.mark.usefixtures('golden_run'), so that pytest knows it beforehand",
            pytrace=False,
        )
    return item.stash[_RUN]


class Runner:
    """The plugin of a process that runs golden tests: a child, or with ``--golden-in-process``."""

    def __init__(self, config: pytest.Config) -> None:
        self._settings = settings_of(config)
        self._golden: GoldenTest | None = None
        self._preparing = False

    @pytest.hookimpl
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin to record before the first fixture: pins in force, generators seeded.

        No wrapper, so that marks which skip the test have been heeded already.
        """
        golden = item.stash.get(GOLDEN, None)
        if golden is None or golden.device is None:
            return
        from goldtrace.recording import recording

        undo = item.stash[_UNDO] = ExitStack()
        progress = None
        if (beats := item.config.stash.get(PROGRESS, None)) is not None:
            heartbeat = Heartbeat(Path(beats))
            undo.callback(heartbeat.close)
            progress = heartbeat.beat
        try:
            item.stash[_RUN] = undo.enter_context(
                recording(
                    golden.spec,
                    golden.device,
                    root=self._settings.root,
                    noise=item.config.stash.get(NOISE, None),
                    progress=progress,
                )
            )
        except PinError as error:
            if not is_isolated(item.config):
                error.hint = _started_with(golden)
            raise
        undo.callback(self._forget)
        self._golden, self._preparing = golden, True

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        """Give a fixture of wider scope its own start of every random stream.

        Whether it is set up for this test or was for an earlier one must not shift the numbers
        that this test draws.
        """
        if self._golden is None or not self._preparing:
            return (yield)
        if fixturedef.scope == "function":
            self._preparing = False
            return (yield)
        from goldtrace.determinism import seed_everything

        seed_everything(self._golden.spec.seed)
        try:
            return (yield)
        finally:
            seed_everything(self._golden.spec.seed)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """When the test's own body has passed, finish the recording and judge it."""
        outcome = yield
        if _RUN in item.stash:
            golden = item.stash[GOLDEN]
            trace = item.stash[_RUN].finish()
            out = item.config.stash.get(OUT, None)
            folder = (
                Path(out)
                if out is not None
                else trace_folder(self._settings, golden.spec.name, golden.device or "")
            )
            stash = item.config.stash
            if stash.get(NOISE, None) is not None or not stash.get(JUDGED, True):
                # Part of a calibration or of a certificate: what the golden says must not count.
                if folder is not None:
                    write_files(trace, folder)
                return outcome
            store = GoldenStore(self._settings.golden_dir)
            settings = self._settings
            result = judge(golden.spec, trace, store, root=settings.root, nearest=settings.nearest)
            remember(golden.spec, result, trace, store)
            if folder is not None:
                result = keep(result, trace, folder)
            item.stash[RESULT] = result
            if not self._settings.update.covers(result):
                express(result)
        return outcome

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """After the last fixture, put back what the pins had changed."""
        try:
            return (yield)
        finally:
            if _UNDO in item.stash:
                item.stash[_UNDO].close()
                del item.stash[_UNDO]
            if _RUN in item.stash:
                del item.stash[_RUN]

    def _forget(self) -> None:
        self._golden, self._preparing = None, False


def _started_with(golden: GoldenTest) -> str:
    variables = " ".join(f"{name}={shlex.quote(v)}" for name, v in golden.environment().items())
    return f"env {variables} python -m pytest --golden-in-process …"
