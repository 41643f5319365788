"""The pytest plugin: options, hooks and the fixture; everything else is imported when needed.

Sessions without golden tests pay for this module alone, so it imports nothing of weight.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from goldtrace.recording import GoldenRun
    from goldtrace.session.tally import Tally

# Before conftest files and test folders are added: a child goes that way itself.
_SYS_PATH = list(sys.path)
_UNUSED = "goldtrace_unused"  # in the output of xdist's workers

_MARKER = (
    "golden(seed=0, devices=('cpu',), profile='cpu-portable', exact=False, warn_only=False, "
    "tolerance={'loss': {'rtol': 1e-6}}, config={...}): how the training of a test with the "
    "golden_run fixture is run and compared."
)

_UPDATES = {
    "--golden-update": ("default", "Write the goldens that are missing or don't match."),
    "--golden-update=missing": ("missing", "Write missing goldens only."),
    "--golden-update=failing": ("failing", "Write goldens that don't match only."),
    "--golden-update=all": ("all", "Write every golden that the session's tests have."),
}
_CHOICES = [value for value, _ in _UPDATES.values()][1:]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options of goldtrace."""
    _refuse_unknown_update(pluginmanager)
    group = parser.getgroup("goldtrace", "golden training runs")
    for option, (value, text) in _UPDATES.items():
        # Whole option strings, because an optional value would swallow a path that follows.
        group.addoption(
            option, action="store_const", const=value, dest="golden_update", default=None, help=text
        )
    group.addoption("--golden-update-in-ci", action="store_true", help="Allow it under CI.")
    group.addoption(
        "--golden-reason", metavar="TEXT", help="What the ledger says about updated goldens."
    )
    group.addoption(
        "--golden-in-process",
        action="store_true",
        help="Run golden tests in this process, for a debugger; the pins must stand already.",
    )
    group.addoption(
        "--golden-no-calibrate",
        action="store_false",
        dest="golden_calibrate",
        default=True,
        help="Write goldens without measuring how they amplify rounding noise.",
    )
    group.addoption(
        "--golden-no-candidates",
        action="store_false",
        dest="golden_candidates",
        default=True,
        help="Put no candidate goldens of failing runs into the report: each takes training.",
    )
    group.addoption(
        "--golden-nearest",
        action="store_true",
        help="Where a platform has no golden, take the calibrated one of another platform.",
    )
    for name, metavar, text in (
        ("golden_dir", "DIR", "Where the goldens are (default: golden)."),
        ("golden_device", "DEVICES", "cpu (the default), cuda, or cpu,cuda."),
        (
            "golden_report",
            "DIR",
            "Write the report there: HTML, Markdown, JSON, GitLab's files, traces.",
        ),
    ):
        group.addoption(f"--{name.replace('_', '-')}", metavar=metavar, dest=name, help=text)
        parser.addini(name, text)
    text = "Absent data or devices and unused goldens fail as well."
    group.addoption("--golden-strict", action="store_true", help=text)
    parser.addini("golden_strict", text, type="bool", default=False)


def _refuse_unknown_update(pluginmanager: pytest.PytestPluginManager) -> None:
    """Say what may be updated; argparse would only say that it ignores what follows the sign."""
    config: pytest.Config | None = pluginmanager.get_plugin("pytestconfig")
    for argument in config.invocation_params.args if config is not None else ():
        option, sign, choice = str(argument).partition("=")
        if f"{option}{sign}" == "--golden-update=" and argument not in _UPDATES:
            raise pytest.UsageError(
                f"--golden-update: expected {', '.join(_CHOICES[:-1])} or {_CHOICES[-1]} after the "
                f"sign =, or nothing for missing and failing goldens, found {choice!r}"
            )


def pytest_configure(config: pytest.Config) -> None:
    """Check the options against each other, and begin."""
    config.addinivalue_line("markers", _MARKER)
    option = config.option
    if option.golden_nearest and (option.golden_strict or config.getini("golden_strict")):
        raise pytest.UsageError(
            "--golden-nearest takes another platform's golden, which --golden-strict refuses"
        )
    if option.golden_update is not None:
        if option.golden_in_process:
            raise pytest.UsageError(
                "--golden-update writes what fresh processes agree on, "
                "so it can't be combined with --golden-in-process"
            )
        from goldtrace.environment.ci import in_ci

        if in_ci() and not option.golden_update_in_ci:
            raise pytest.UsageError(
                "--golden-update under CI (the variable CI is set): goldens are written on CI "
                "only with --golden-update-in-ci"
            )
    if option.golden_device or config.getini("golden_device"):
        # Here, because xdist can't pass on what is wrong with an option in a worker.
        from goldtrace.session.settings import settings_of

        settings_of(config)
    config.pluginmanager.register(_Session(config), "goldtrace-session")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect ``golden/<run>/run.toml``."""
    if file_path.name != "run.toml":
        return None
    from goldtrace.session.settings import settings_of

    if file_path.parent.parent != settings_of(parent.config).golden_dir:
        return None
    from goldtrace.session.declared import DeclaredFile

    file: pytest.Collector = DeclaredFile.from_parent(parent, path=file_path)
    return file


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each device; last, so that the device ends the test's id."""
    if "golden_run" in metafunc.fixturenames:
        from goldtrace.session.collection import parametrize_devices

        parametrize_devices(metafunc)


@pytest.fixture
def golden_run(request: pytest.FixtureRequest) -> GoldenRun:
    """The recorder of a golden training run: ``watch`` once, ``step`` at every step, ``metric``.

    The test runs in a process whose determinism pins were in place before it started. Attributes:
    ``seed`` (every generator has it already), ``device``, ``config``.
    """
    from goldtrace.session.runner import run_of

    return run_of(request.node)


class _Session:
    """What has to remember something: the plugin of one session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._collected: set[str] = set()
        self._unused: list[str] = []
        self._tally: Tally | None = None
        self._isolates = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.passed:
            self._collected.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Prepare the golden items, before any item is deselected."""
        config = self._config
        if not (_may_be_golden(items) or _golden_dir_exists(config)):
            return
        from goldtrace.isolation.role import is_isolated
        from goldtrace.session.collection import prepare
        from goldtrace.session.settings import settings_of

        settings = settings_of(config)
        prepared = prepare(items, settings)
        for error in prepared.errors:
            config.hook.pytest_collectreport(report=error)
        if prepared.golden:
            from goldtrace.session.isolated import IsolatedSession
            from goldtrace.session.reporter import Reporter
            from goldtrace.session.runner import Runner

            here = settings.in_process or is_isolated(config)
            self._isolates = not here
            config.pluginmanager.register(Reporter())
            config.pluginmanager.register(
                Runner(config) if here else IsolatedSession(config, _SYS_PATH)
            )
        if not is_isolated(config):
            from goldtrace.session.unused import unused_goldens

            self._unused = unused_goldens(config, prepared.golden, self._collected, settings)

    def pytest_report_collectionfinish(self) -> str | None:
        if self._isolates and self._config.option.usepdb:
            return "goldtrace: --pdb needs --golden-in-process to stop in golden tests"
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, "goldtrace") and not hasattr(self._config, "workerinput"):
            self._sums().take(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        unused = getattr(node, "workeroutput", {}).get(_UNUSED, ())
        self._unused = sorted({*self._unused, *unused})

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config = self._config
        if hasattr(config, "workeroutput"):
            config.workeroutput[_UNUSED] = self._unused
        elif self._unused or self._tally is not None or config.option.golden_report is not None:
            from goldtrace.isolation.role import is_isolated

            # A child has part of the session's runs, and the same options: the report isn't its.
            if not is_isolated(config):
                self._sums().finish(session, self._unused)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        if self._tally is not None:
            self._tally.summarize(terminalreporter)

    def _sums(self) -> Tally:
        if self._tally is None:
            from goldtrace.session.tally import Tally

            self._tally = Tally(self._config)
        return self._tally


def _may_be_golden(items: list[pytest.Item]) -> bool:
    # Declared runs have been collected only if their module was imported.
    return "goldtrace.session.declared" in sys.modules or any(
        "golden_run" in getattr(item, "fixturenames", ()) for item in items
    )


def _golden_dir_exists(config: pytest.Config) -> bool:
    configured = config.option.golden_dir or config.getini("golden_dir") or "golden"
    return any(
        Path(base, configured).is_dir() for base in (config.rootpath, config.invocation_params.dir)
    )
