"""What the pages say is so: links lead somewhere, code parses, options are all there."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import goldtrace
from goldtrace.cli import command_line
from goldtrace.store.declared import load_run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
sys.path.insert(0, str(ROOT / "docs" / "site"))

import nav  # noqa: E402
import reference  # noqa: E402

(COMMANDS,) = (a.choices for a in command_line()._actions if a.dest == "command")
PYTEST_OPTIONS = set(
    re.findall(r"^\| `(--golden[a-z-]*)", reference.plugin_options(), re.MULTILINE)
)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
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


def test_every_block_of_toml_is_a_declaration_or_a_part_of_one(tmp_path: Path) -> None:
    declared = [text for page in PAGES for text in blocks(page, "toml")]
    assert len(declared) >= 4
    for number, text in enumerate(declared):
        path = tmp_path / f"run{number}" / "run.toml"
        path.parent.mkdir()
        entry = "" if "entry =" in text else 'entry = "mypackage.training:train"\n'
        path.write_text(entry + text, encoding="utf-8")
        assert load_run(path).entry.endswith("training:train")


def test_every_block_of_yaml_is_a_part_of_a_workflow(tmp_path: Path) -> None:
    every = [text for page in PAGES for text in blocks(page, "yaml")]
    parts = [text for text in every if "jobs" in yaml.safe_load(text)]
    assert len(parts) >= 2
    for number, text in enumerate(parts):
        (tmp_path / f"workflow{number}.yml").write_text(f"on: push\n{text}", encoding="utf-8")
    checked = ("check_jsonschema", "--builtin-schema", "vendor.github-workflows")
    output(*checked, *map(str, sorted(tmp_path.iterdir())))
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    steps = [s for text in parts for j in yaml.safe_load(text)["jobs"].values() for s in j["steps"]]
    given = [set(step["with"]) for step in steps if "goldtrace@" in step.get("uses", "")]
    assert given
    assert set().union(*given) <= set(inputs)


def test_what_the_reference_takes_from_the_code_is_up_to_date() -> None:
    marked = [page for page in PAGES if reference.PLACE.search(page.read_text(encoding="utf-8"))]
    assert len(marked) >= 6
    for page in marked:
        text = page.read_text(encoding="utf-8")
        assert text == reference.up_to_date(text), f"{page.name} is stale: make reference"


def test_the_functions_in_the_reference_have_the_parameters_that_they_say() -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \|", text, re.MULTILINE)
    assert {"watch", "step", "metric", "seed_everything", "deterministic"} <= dict(rows).keys()
    for name, written in rows:
        function = getattr(goldtrace, name, None) or getattr(goldtrace.GoldenRun, name)
        parameters = {
            STARS.get(p.kind, "") + p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.name != "self"
        }
        given = dict(re.findall(r"([*]*\w+)=?([^,]*)", written.replace("*, ", "")))
        assert given.keys() == parameters.keys(), name
        for parameter, default in given.items():
            if default:
                assert ast.literal_eval(default) == parameters[parameter], name


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of every command of goldtrace and pytest in blocks and in `code`."""
    lines = re.findall(r"^(?:    |\$ )((?:goldtrace|pytest) .*)$", text, re.MULTILINE)
    lines += [
        line for lang, block in BLOCK.findall(text) if lang == "sh" for line in block.split("\n")
    ]
    lines += re.findall(r"`((?:goldtrace|pytest) [^`]*)`", text)
    for line in lines:
        plain = line.partition("  #")[0].replace("…", "")
        for part in re.split(r"&&|\||;", plain):
            words = re.findall(r"'[^']*'|\"[^\"]*\"|\S+", part)
            if len(words) > 1 and words[0] in ("goldtrace", "pytest"):
                yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_option_in_a_page_exists(page: Path) -> None:
    for words in commands_in(page.read_text(encoding="utf-8")):
        given = {
            word.partition("=")[0] for word in words if OPTION.fullmatch(word.partition("=")[0])
        }
        if words[0] == "pytest":
            assert {o for o in given if o.startswith("--golden")} <= PYTEST_OPTIONS, words
        elif re.fullmatch(r"[a-z]+", words[1]):
            assert words[1] in COMMANDS, words
            known = {o for a in COMMANDS[words[1]]._actions for o in a.option_strings}
            assert given <= known, words


def test_an_option_that_does_not_exist_would_be_seen() -> None:
    page = (
        "Say `goldtrace check --no-such`, or\n\n    pytest golden --golden-no-such=3  # comment\n"
    )
    found = list(commands_in(page))
    assert found == [
        ["pytest", "golden", "--golden-no-such=3"],
        ["goldtrace", "check", "--no-such"],
    ]
    assert "--golden-no-such" not in PYTEST_OPTIONS
    assert "--golden-update" in PYTEST_OPTIONS


def test_every_page_is_in_the_navigation_once() -> None:
    docs = ROOT / "docs"
    first, *rooms = nav.navigation(docs)
    listed = [path for room in rooms for pages in room.values() for path in pages]
    assert first == {"Home": "index.md"}
    assert sorted([*listed, "index.md"]) == sorted(
        page.relative_to(docs).as_posix() for page in docs.rglob("*.md")
    )


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    written = {page.relative_to(ROOT / "docs") for page in PAGES if ROOT / "docs" in page.parents}
    assert written <= pages
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]* src=.?(?:https?:)?//[^ >]*"
            r"|<link(?![^>]*rel=.?canonical)[^>]* href=.?(?:https?:)?//[^ >]*"
            r"|(?:@import|url\()[^;)]*https?://[^;)]*",
            path.read_text(encoding="utf-8"),
        )
        assert loaded == [], path.name


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    # Decisions tell of targets that are no more.
    for page in [page for page in PAGES if page.parent.name != "decisions"]:
        text = page.read_text(encoding="utf-8")
        called = re.findall(
            r"(?:`|^    )make ((?:[A-Z_]+=\S+ )*)([a-z][a-z-]*)", text, re.MULTILINE
        )
        assert {target for _, target in called} <= targets, page.name
