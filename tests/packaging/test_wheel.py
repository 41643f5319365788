"""The built distributions, looked into and used: `make test-wheel`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from email.message import Message

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "goldtrace"
UV = str(Path(sys.executable).with_name("uv"))

TRAINING = """\
import torch


def test_training(golden_run):
    model = torch.nn.Linear(7, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    golden_run.watch(model=model, optimizer=optimizer)
    for _ in range(5):
        x, y = torch.randn(11, 7), torch.randint(3, (11,))
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        golden_run.step(loss=loss, batch=(x, y))


def test_beside_it():
    assert torch.get_num_threads() >= 1
"""


def run(*command: str | Path, cwd: Path, ok: int = 0) -> str:
    """The output of a command that has to end with `ok`, run as outside of any CI."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "VIRTUAL_ENV", "PYTHONPATH"}
        and not name.startswith(("PYTEST", "COV"))
    }
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == ok, (
        f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
    )
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(
        UV, "build", "--quiet", "--python", sys.executable, "--no-build-isolation",
        "--out-dir", folder, cwd=ROOT,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(distributions: Path) -> Path:
    (path,) = distributions.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment that holds the wheel and its requirements alone."""
    folder = tmp_path_factory.mktemp("environment")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(
        UV, "pip", "install", "--quiet", "--python", python, "--no-verify-hashes",
        "--constraints", ROOT / "requirements.lock", wheel, cwd=folder,
    )  # fmt: skip
    return python.parent


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository that has nothing to do with goldtrace, with one training test."""
    git = shutil.which("git")
    assert git is not None
    (tmp_path / "test_training.py").write_text(TRAINING, encoding="utf-8")
    (tmp_path / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n", encoding="utf-8")
    for command in (
        ["init", "--quiet"],
        ["config", "user.name", "A Researcher"],
        ["config", "user.email", "researcher@example.org"],
        ["add", "."],
        ["commit", "--quiet", "--message", "Train"],
    ):
        run(git, *command, cwd=tmp_path)
    return tmp_path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "goldtrace/py.typed" in package
    assert any(name.startswith("goldtrace/reference/manifests/") for name in package)
    information = f"goldtrace-{wheel.name.split('-')[1]}.dist-info"
    assert names == package | {
        f"{information}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_the_sdist_holds_what_the_wheel_is_built_from(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO"} <= names
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"src"}


def test_the_licence_is_apache_2_in_full(wheel: Path, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("licenses/LICENSE"))
        text = archive.read(name).decode()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_metadata_say_that_this_is_a_pytest_plugin(metadata: Message) -> None:
    classifiers = metadata.get_all("Classifier")
    assert classifiers is not None
    assert "Framework :: Pytest" in classifiers
    assert "Typing :: Typed" in classifiers
    assert metadata["Requires-Python"] == ">=3.10"


def test_the_entry_points_name_the_command_and_the_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        lines = archive.read(name).decode().splitlines()
    assert "goldtrace = goldtrace.cli:main" in lines
    assert "goldtrace = goldtrace.pytest_plugin" in lines


def test_a_users_test_records_passes_and_fails_after_a_change(
    environment: Path, repository: Path
) -> None:
    pytest_command = environment / "pytest"

    missing = run(pytest_command, cwd=repository, ok=1)
    assert "1 failed, 1 passed" in missing
    assert not list(repository.rglob("steps.jsonl"))

    run(pytest_command, "--golden-update", cwd=repository)
    (steps,) = (repository / "golden").rglob("steps.jsonl")
    recorded = steps.read_bytes()

    assert "2 passed" in run(pytest_command, cwd=repository)

    test_file = repository / "test_training.py"
    test_file.write_text(TRAINING.replace("lr=0.1", "lr=0.1001"), encoding="utf-8")
    changed = run(pytest_command, cwd=repository, ok=1)
    assert "1 failed, 1 passed" in changed
    assert "drift" in changed
    assert steps.read_bytes() == recorded


def test_the_command_is_installed(environment: Path, repository: Path) -> None:
    assert "check" in run(environment / "goldtrace", "--help", cwd=repository)
