"""What the pages say is so: links lead somewhere, code parses, options are all there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldtrace.store.declared import load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"--[a-z][a-z-]+")


def blocks(page: Path, language: str) -> Iterator[str]:
    for found, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield text


def output(*command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text(encoding="utf-8"))]
    dead = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_python_parses(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)


def test_every_declared_run_in_the_pages_can_be_loaded(tmp_path: Path) -> None:
    declared = [text for page in PAGES for text in blocks(page, "toml") if "entry =" in text]
    assert len(declared) >= 2
    for number, text in enumerate(declared):
        path = tmp_path / f"run{number}" / "run.toml"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        assert load_run(path).entry == "mypackage.training:train"


@pytest.mark.parametrize(
    "command", ["check", "record", "try", "bisect", "diff", "explain", "doctor", "data"]
)
def test_every_option_of_a_command_is_in_the_reference(command: str) -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{command}\b.*$", page, re.MULTILINE)
    usage = output("goldtrace.cli", command, "--help").partition("\n\n")[0]
    common = {"--help", "--json"}
    assert set(OPTION.findall(usage)) - common == set(OPTION.findall(row))


def test_every_option_of_the_plugin_is_in_the_reference() -> None:
    page = (REFERENCE / "pytest.md").read_text(encoding="utf-8")
    section = page.partition("## Options")[2].partition("##")[0]
    documented = set(re.findall(r"^\| `(--golden[a-z-]*)", section, re.MULTILINE))
    shown = output("pytest", "--help")
    assert documented == set(re.findall(r"^ +(--golden[a-z-]*)", shown, re.MULTILINE))


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        called = re.findall(
            r"(?:`|^    )make ((?:[A-Z_]+=\S+ )*)([a-z][a-z-]*)", text, re.MULTILINE
        )
        assert {target for _, target in called} <= targets, page.name
