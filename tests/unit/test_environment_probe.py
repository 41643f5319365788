from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from goldtrace.environment import packages, probe_environment

if TYPE_CHECKING:
    from pathlib import Path


def test_two_probes_are_equal_and_all_text(tmp_path: Path) -> None:
    first = probe_environment("cpu", root=tmp_path)

    assert probe_environment("cpu", root=tmp_path) == first
    for part in (first.system, first.packages, first.libraries, first.accelerator):
        assert all(isinstance(text, str) for pair in part.items() for text in pair)
        assert json.loads(json.dumps(part)) == part


def test_machine_interpreter_packages_and_libraries_are_described(tmp_path: Path) -> None:
    environment = probe_environment("cpu", root=tmp_path)

    assert {"python", "implementation", "os", "kernel", "machine", "cpus"} <= set(
        environment.system
    )
    assert environment.packages["torch"] == torch.__version__.partition("+")[0] or (
        environment.packages["torch"] == torch.__version__
    )
    assert environment.packages["typing-extensions"]
    assert environment.libraries["torch.threads"] == str(torch.get_num_threads())
    assert environment.libraries["torch.cpu_capability"]
    assert environment.accelerator == {}


def test_the_lock_file_counts_by_its_bytes(tmp_path: Path) -> None:
    assert "lock" not in probe_environment("cpu", root=tmp_path).system
    (tmp_path / "requirements.lock").write_bytes(b"torch==2.15.0\n")
    digest = hashlib.sha256(b"torch==2.15.0\n").hexdigest()

    found = probe_environment("cpu", root=tmp_path).system["lock"]

    assert found == f"requirements.lock sha256:{digest}"


@pytest.mark.parametrize("name", ["Typing_Extensions", "typing.extensions", "typing-_-extensions"])
def test_names_of_distributions_compare_as_the_packaging_standard_says(name: str) -> None:
    assert packages.normalised(name) == "typing-extensions"


def test_the_first_of_two_installed_versions_counts_and_a_broken_one_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name, version in (
        ("a", "Twice", "1.0"),
        ("b", "twice", "2.0"),
        ("b", "nameless", None),
    ):
        info = tmp_path / folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        if version is not None:
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            (info / "METADATA").write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b")])

    assert packages.installed_packages() == {"twice": "1.0"}


def test_what_setuptools_carries_for_itself_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendored = tmp_path / "setuptools" / "_vendor"
    folder = vendored / "platformdirs-4.4.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Name: platformdirs\nVersion: 4.4.0\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(vendored)])

    assert packages.installed_packages() == {}
