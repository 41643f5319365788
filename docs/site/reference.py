"""Writes what the reference takes from the code into its pages: `make reference`.

A page marks the place with `<!-- generated: NAME -->` and `<!-- end -->`; what stands between is
written here, the rest by people. A test holds that the pages are up to date.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.config.argparsing import Parser

from goldtrace import pytest_plugin
from goldtrace.cli import command_line
from goldtrace.determinism import numpy_groups, profiles
from goldtrace.model.machine import Processor
from goldtrace.model.spec import RunSpec
from goldtrace.store.spec_reader import KEYS

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
REFERENCE = DOCS / "reference"
PLACE = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> str:
    """What each command does, and a section for each with its options."""
    (subcommands,) = (a for a in command_line()._actions if a.dest == "command")  # noqa: SLF001
    about = {choice.dest: choice.help for choice in subcommands._choices_actions}  # noqa: SLF001
    listed = [f"| [`{name}`](#{name}) | {_cell(about[name])} |" for name in about]
    sections = [_command(name, subcommands.choices[name]) for name in about]
    return "\n".join(["| command | does |", "| --- | --- |", *listed, "", *sections])


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [a for a in parser._actions if a.help != argparse.SUPPRESS]  # noqa: SLF001
    options = [a for a in actions if a.option_strings and a.dest != "help"]
    places = [
        f"{'[' if a.nargs in ('?', '*') else ''}{a.metavar or a.dest}"
        f"{' …' if a.nargs in ('*', '+') else ''}{']' if a.nargs in ('?', '*') else ''}"
        for a in actions
        if not a.option_strings
    ]
    rows = [f"| {_spelled(a)} | {_cell(_help(a))} |" for a in options]
    example = (parser.epilog or "").partition("example: ")[2]
    return "\n".join(
        [
            f"## {name}",
            "",
            f"`{' '.join(['goldtrace', name, *places])}`",
            "",
            *([_sentence(parser.description), ""] if parser.description else []),
            *(["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []),
            *(["```sh", example, "```", ""] if example else []),
        ]
    )


def plugin_options() -> str:
    """The options of the pytest plugin, and the settings that may stand in its configuration."""
    parser = Parser(_ispytest=True)
    pytest_plugin.pytest_addoption(parser, pytest.PytestPluginManager())
    rows = [
        f"| `{_with_metavar(option.names()[0], option.attrs().get('metavar'))}` "
        f"| {_cell(option.attrs()['help'])} |"
        for option in parser.getgroup("goldtrace").options
    ]
    settings = ", ".join(f"`{name}`" for name in parser._inidict)  # noqa: SLF001
    return "\n".join(
        [
            "| option | meaning |",
            "| --- | --- |",
            *rows,
            "",
            f"{settings} may also be set in pytest's configuration file.",
            "",
        ]
    )


def run_keys() -> str:
    """The keys of ``run.toml``."""
    defaults = {field.name: field for field in dataclasses.fields(RunSpec)}
    rows = []
    for name, key in KEYS.items():
        default = "required" if name == "entry" else _default(defaults[name])
        rows.append(f"| `{name}` | {key.kind} | {default} | {_cell(key.meaning)} |")
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "`{}`"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return "" if value is None else f"`{json.dumps(value)}`"


def pins() -> str:
    """Every pin, its reason and its value in each profile."""
    # One machine for all readers: Intel's with AVX-512, with numpy 2.4.
    cpu = Processor(
        architecture="x86_64",
        vendor="GenuineIntel",
        flags=frozenset(numpy_groups._ICL),  # noqa: SLF001
    )
    counted, profiles.thread_count = profiles.thread_count, lambda: "all"
    try:
        each = [
            profiles.profile_for(name, _device(name), numpy_version="2.4.0", cpu=cpu)
            for name in profiles.PROFILES
        ]
    finally:
        profiles.thread_count = counted
    values = {profile.name: {p.name: p.value for p in profile.pins} for profile in each}
    every = {pin.name: pin for profile in each for pin in profile.pins}
    parts = []
    for kind, title in _KINDS.items():
        head = f"| pin | {' | '.join(values)} | reason |"
        parts += [f"## {title}", "", head, "| --- " * (2 + len(values)) + "|"]
        for name, pin in every.items():
            if pin.kind is kind:
                cells = [f"`{of[name]}`" if name in of else "" for of in values.values()]
                parts.append(f"| {' | '.join([f'`{name}`', *cells, _cell(pin.reason)])} |")
        parts.append("")
    return "\n".join(parts)


_KINDS = {
    profiles.PinKind.ENV: "Environment variables",
    profiles.PinKind.TORCH: "Switches",
    profiles.PinKind.THREADS: "Threads",
    profiles.PinKind.EFFECT: "Effects that are read back",
}


def _device(profile: str) -> str:
    return "cuda" if profile == "cuda" else "cpu"


def action() -> str:
    """The inputs of the GitHub action."""
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    rows = [
        f"| `{name}` | {_code(given['default'])} | {_cell(given['description'])} |"
        for name, given in inputs.items()
    ]
    return "\n".join(["| input | default | meaning |", "| --- | --- | --- |", *rows, ""])


def report() -> str:
    """The properties of ``report.json``, from its schema."""
    schema = json.loads((REFERENCE / "report.schema.json").read_text(encoding="utf-8"))
    parts = []
    for name, part in schema["$defs"].items():
        if "properties" not in part:
            continue
        rows = [
            f"| `{key}` | {_kind(value)} | {_cell(value.get('description', ''))} |"
            for key, value in part["properties"].items()
        ]
        head = ["| property | is | meaning |", "| --- | --- | --- |"]
        parts += [f"## {name}", "", *head, *rows, ""]
    return "\n".join(parts)


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})" if name not in ("step", "rung") else name
    if "anyOf" in value:
        return " or ".join(_kind(each) for each in value["anyOf"])
    if "enum" in value:
        return ", ".join("null" if each is None else f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    kinds = value.get("type", "anything")
    text = " or ".join(kinds) if isinstance(kinds, list) else kinds
    return f"{text} of {_kind(value['items'])}" if "items" in value else text


def _spelled(action: argparse.Action) -> str:
    metavar = None if action.nargs == 0 else action.metavar or action.dest.upper()
    if action.choices is not None and action.metavar is None:
        metavar = "|".join(map(str, action.choices))
    return f"`{_with_metavar(action.option_strings[-1], metavar)}`".replace("|", r"\|")


def _with_metavar(name: str, metavar: Any) -> str:
    return f"{name} {metavar}" if metavar else name


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    return f"{text} (required)" if action.required else text


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _sentence(text).replace("|", r"\|")


BLOCKS = {
    "action": action,
    "commands": commands,
    "plugin-options": plugin_options,
    "run-keys": run_keys,
    "pins": pins,
    "report": report,
}


def up_to_date(text: str) -> str:
    """A page with everything between its marks written anew."""
    return PLACE.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n{found[3]}", text)


if __name__ == "__main__":
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = up_to_date(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
