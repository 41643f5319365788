"""What the keys of a declaration may say: one place for ``run.toml`` and for markers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from goldtrace.determinism.profiles import PROFILES
from goldtrace.errors import SpecError
from goldtrace.model.spec import DEVICES
from goldtrace.model.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from goldtrace.store.toml_lines import KeyPath

T = TypeVar("T")

_SEEDS = 2**63

_ENTRY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

_TYPES = {
    bool: "true or false",
    int: "an integer",
    str: "a string",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True, slots=True)
class SpecReader:
    """Checks the values of keys and turns them into a spec's; ``where`` finds a key's place."""

    where: Callable[[KeyPath], str]

    def fail(
        self, key: KeyPath, expected: str, found: object, hint: str | None = None
    ) -> SpecError:
        """The error for a value that a key cannot have."""
        text = repr(found)
        return SpecError(
            f"{_spell(key)} has a value that it cannot have",
            where=self.where(key),
            expected=expected,
            found=text if len(text) <= 80 else text[:77] + "...",  # noqa: PLR2004 - one line
            hint=hint,
        )

    def known(
        self, path: KeyPath, table: Mapping[str, Any], keys: Sequence[str] | Mapping[str, Any]
    ) -> None:
        """Refuse keys that mean nothing, with the one that was probably meant."""
        for key in table:
            if key not in keys:
                close = get_close_matches(key, list(keys), n=1)
                raise SpecError(
                    f"unknown key {_spell((*path, key))}",
                    where=self.where((*path, key)),
                    expected=", ".join(keys),
                    found=key,
                    hint=f"did you mean {close[0]}?"
                    if close
                    else None
                    if path
                    else "settings of your own belong into [config]",
                )

    def of_type(self, key: KeyPath, value: Any, wanted: type[T]) -> T:
        """``value``, which has exactly this type: a boolean is no integer."""
        if type(value) is not wanted:
            raise self.fail(key, _TYPES[wanted], value)
        return value

    def one_of(self, key: KeyPath, value: Any, choices: Sequence[str]) -> str:
        """A string out of ``choices``."""
        if value not in choices:
            close = get_close_matches(str(value), choices, n=1)
            hint = f'did you mean "{close[0]}"?' if close else None
            raise self.fail(key, " or ".join(choices), value, hint)
        return str(value)

    def entry(self, key: KeyPath, value: Any) -> str:
        """``package.module:function``."""
        text = self.of_type(key, value, str)
        if not _ENTRY.fullmatch(text):
            raise self.fail(key, '"package.module:function"', text)
        return text

    def seed(self, key: KeyPath, value: Any) -> int:
        """A seed that every generator takes."""
        seed = self.of_type(key, value, int)
        if not 0 <= seed < _SEEDS:
            raise self.fail(key, f"0 to {_SEEDS - 1}", seed)
        return seed

    def devices(self, key: KeyPath, value: Any) -> tuple[str, ...]:
        """A list of devices, as a tuple."""
        devices = self.of_type(key, value, list)
        for device in devices:
            self.one_of(key, device, DEVICES)
        if not devices or len(set(devices)) < len(devices):
            raise self.fail(key, "one device or more, each once", devices)
        return tuple(devices)

    def profile(self, key: KeyPath, value: Any) -> str:
        """The name of a profile."""
        return self.one_of(key, value, PROFILES)

    def flag(self, key: KeyPath, value: Any) -> bool:
        """True or false."""
        return self.of_type(key, value, bool)

    def ulp(self, key: KeyPath, value: Any) -> float:
        """A noise in units in the last place."""
        noise = self.bound(key, value)
        if noise == 0:
            raise self.fail(key, "more than 0 (or exact = true)", value)
        return noise

    def tape(self, key: KeyPath, value: Any) -> tuple[int, ...]:
        """A list of step numbers, sorted."""
        steps = self.of_type(key, value, list)
        for step in steps:
            if type(step) is not int or step < 0:
                raise self.fail(key, "numbers of steps, from 0", step)
        return tuple(sorted(set(steps)))

    def config(self, key: KeyPath, value: Any) -> dict[str, Any]:
        """A table that JSON can hold."""
        table = self.of_type(key, value, dict)
        self.setting(key, table)
        return table

    def setting(self, key: KeyPath, value: Any) -> None:
        """Refuse what JSON cannot hold, at any depth."""
        if isinstance(value, dict):
            for name, item in value.items():
                if not isinstance(name, str):
                    raise self.fail(key, "names that are strings", name)
                self.setting((*key, name), item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.setting(key, item)
        elif not isinstance(value, str | int | float | None):
            raise self.fail(
                key, "text, numbers, booleans, lists and tables", str(value), "write it as a string"
            )

    def tolerances(self, key: KeyPath, value: Any) -> dict[str, Tolerance]:
        """A table of tolerances by the name of the metric."""
        table = self.of_type(key, value, dict)
        return {name: self.tolerance((*key, name), item) for name, item in table.items()}

    def tolerance(self, key: KeyPath, value: Any) -> Tolerance:
        """A table with ``rtol``, ``atol`` or both."""
        table = self.of_type(key, value, dict)
        self.known(key, table, ("rtol", "atol"))
        if not table:
            raise self.fail(key, "rtol, atol or both", table)
        return Tolerance(**{name: self.bound((*key, name), item) for name, item in table.items()})

    def bound(self, key: KeyPath, value: Any) -> float:
        """A finite number, at least 0."""
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
            raise self.fail(key, "a finite number, at least 0", value)
        return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a declaration: how it is read, and what the reference says of it."""

    read: Callable[[SpecReader, KeyPath, Any], Any]
    kind: str
    meaning: str


KEYS: Mapping[str, Key] = {
    "entry": Key(
        read=SpecReader.entry,
        kind="string",
        meaning='`"package.module:function"`; called with the [`GoldenRun`](python.md)',
    ),
    "seed": Key(
        read=SpecReader.seed,
        kind="integer, 0 to 2⁶³ - 1",
        meaning="the seed of every generator",
    ),
    "devices": Key(
        read=SpecReader.devices,
        kind='list of `"cpu"`, `"cuda"`',
        meaning="where the run may train; `--golden-device` and `--device` choose among them",
    ),
    "profile": Key(
        read=SpecReader.profile,
        kind="string",
        meaning="the [pins](profiles.md) on the CPU; `cuda` always takes the profile `cuda`",
    ),
    "warn_only": Key(
        read=SpecReader.flag,
        kind="boolean",
        meaning="operators without a deterministic implementation warn instead of raising",
    ),
    "exact": Key(
        read=SpecReader.flag,
        kind="boolean",
        meaning="the verdict `rounding` fails too",
    ),
    "rounding_ulp": Key(
        read=SpecReader.ulp,
        kind="number above 0",
        meaning="the largest [equivalent noise](../explanation/calibration.md) that is `rounding`; "
        "64 unless set",
    ),
    "tape": Key(
        read=SpecReader.tape,
        kind="list of step numbers",
        meaning="the steps whose operators are recorded, for "
        "[`goldtrace explain`](../how-to/explain.md)",
    ),
    "config": Key(
        read=SpecReader.config,
        kind="table",
        meaning="settings of your own, `run.config`: text, numbers, booleans, lists and tables",
    ),
    "tolerance": Key(
        read=SpecReader.tolerances,
        kind="table of tables",
        meaning="`rtol` and `atol`, each at least 0, by the name of a metric; `*` for all others; "
        "`lr` or `group0.lr` for hyper-parameters",
    ),
}


def _spell(key: KeyPath) -> str:
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else ascii(part) for part in key)
