"""The command line, for tests of any kind."""

from __future__ import annotations

import pytest

from goldtrace.cli import main


@pytest.fixture
def goldtrace(capsys):
    """Run a command line in this process: exit status, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as usage:
            status = int(usage.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run
