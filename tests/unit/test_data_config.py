"""The ``[config]`` table of a built-in run: every key, no other, of the right type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from goldtrace.errors import SpecError
from goldtrace.reference.config import read_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    data: str
    epochs: int
    learning_rate: float
    nesterov: bool


GIVEN: dict[str, Any] = {"data": "x", "epochs": 2, "learning_rate": 0.1, "nesterov": False}


def test_a_complete_table_becomes_a_value() -> None:
    assert read_config(Small, GIVEN, run="r") == Small(**GIVEN)


def test_an_integer_may_stand_for_a_float() -> None:
    config = read_config(Small, {**GIVEN, "learning_rate": 1}, run="r")

    assert type(config.learning_rate) is float


def test_a_misspelt_key_is_named_with_the_one_that_was_meant() -> None:
    with pytest.raises(SpecError, match="unknown key 'epoch'") as caught:
        read_config(Small, {**GIVEN, "epoch": 3}, run="r")

    assert caught.value.hint == "did you mean 'epochs'?"
    assert caught.value.where == "run 'r', [config]"


def test_a_key_like_no_other_is_to_be_removed() -> None:
    with pytest.raises(SpecError) as caught:
        read_config(Small, {**GIVEN, "zzz": 3}, run="r")

    assert caught.value.hint == "remove 'zzz'"


def test_a_missing_key_is_named() -> None:
    with pytest.raises(SpecError, match="missing key 'epochs'"):
        read_config(Small, {k: v for k, v in GIVEN.items() if k != "epochs"}, run="r")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", True),
        ("epochs", 2.0),
        ("epochs", "2"),
        ("learning_rate", True),
        ("nesterov", 1),
        ("data", ["x"]),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"wrong type for {key!r}"):
        read_config(Small, {**GIVEN, key: value}, run="r")
