"""The first run: its ``run.toml``, and a training to begin with where there is none yet."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import tomlkit

from goldtrace.scaffold.change import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.scaffold.change import Change
    from goldtrace.scaffold.entry import Entry

EXAMPLE_RUN = "example"
EXAMPLE_FILE = "golden_training.py"
EXAMPLE_ENTRY = "golden_training:train"
_EXAMPLE_CONFIG = {"steps": 20, "learning_rate": 0.01}

_HEAD = "One golden training run; the directory's name is its name."
_SEED = 20


def declaration(path: str, root: Path, *, entry: str, config: dict[str, Any]) -> Change:
    """``run.toml`` for a training function and the settings that it reads."""
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEAD))
    document.add("entry", tomlkit.item(entry))
    document.add("seed", tomlkit.item(_SEED))
    if config:
        table = tomlkit.table()
        for name, value in config.items():
            if value is None:
                table.add(tomlkit.comment(f"{tomlkit.key(name).as_string()} = …"))
            else:
                table.add(name, value)
        document.add(tomlkit.nl())
        document.add("config", table)
    return whole_file(
        root,
        path,
        tomlkit.dumps(document),
        purpose="declares the run",
        otherwise="it is there already; --name gives the run another name",
    )


def declare_function(golden: str, name: str, entry: Entry, root: Path) -> tuple[Change, list[str]]:
    """The declaration of a run for a function of the user's, and what it lacks."""
    change = declaration(f"{golden}/{name}/run.toml", root, entry=entry.text, config=entry.config)
    notes = []
    missing = [key for key, value in entry.config.items() if value is None]
    if missing and change.after is not None:
        notes.append(f"{change.path}: give values under [config] to {', '.join(missing)}")
    if "step" not in entry.calls:
        notes.append(
            f"{entry.text} does not call run.step itself: a run without a step records nothing; "
            "call run.watch(model=…, optimizer=…) once and run.step(loss=…) after each step"
        )
    if not entry.importable:
        notes.append(f"{entry.text} lies in src/: it is found once the project is installed")
    return change, notes


def declare_example(golden: str, root: Path) -> tuple[Change, Change]:
    """A training that works as it stands, and the declaration of its run."""
    text = resources.files(__package__).joinpath("templates", "training.txt").read_text("utf-8")
    training = whole_file(
        root,
        EXAMPLE_FILE,
        text,
        purpose="an example training to replace with yours",
        otherwise=f"it is there already, so the run {EXAMPLE_RUN} trains what it defines",
    )
    run_file = f"{golden}/{EXAMPLE_RUN}/run.toml"
    return training, declaration(run_file, root, entry=EXAMPLE_ENTRY, config=_EXAMPLE_CONFIG)
