"""``calibration.json``: for each quantity and step how far it moved, in the file of a golden.

Numbers have three significant digits: a calibration is an estimate from a few runs. The responses
of a rung's tensors are one text a step, in the order of the sorted names.
"""

from __future__ import annotations

import math
from typing import Any

from goldtrace.errors import GoldenError
from goldtrace.model import fields, sealed
from goldtrace.model.calibration import Calibration, Response
from goldtrace.model.noise import Noise
from goldtrace.model.verdict import Rung

CALIBRATION = "calibration.json"

SCHEMA = 1
"""The version of the calibration's format."""


def encode_calibration(calibration: Calibration) -> bytes:
    """The content of ``calibration.json``: the same bytes for the same calibration."""
    names = {
        rung: sorted({name for step in steps.values() for name in step})
        for rung, steps in calibration.tensors.items()
    }
    document = {
        "schema": SCHEMA,
        "golden": calibration.golden,
        "horizons": dict(sorted(calibration.horizons.items())),
        "noise": [f"{noise.ulp!r} {noise.seed}" for noise in calibration.noises],
        "scalars": {
            name: {str(step): _text([response]) for step, response in sorted(steps.items())}
            for name, steps in fields.sort_names(calibration.scalars).items()
        },
        "metrics": {
            name: _text([response])
            for name, response in fields.sort_names(calibration.metrics).items()
        },
        "tensors": {
            rung: {
                "names": names[Rung(rung)],
                **{
                    str(step): _text([named.get(name) for name in names[Rung(rung)]])
                    for step, named in sorted(steps.items())
                },
            }
            for rung, steps in fields.sort_rungs(calibration.tensors).items()
        },
    }
    return sealed.to_page(sealed.seal(document))


def decode_calibration(data: bytes) -> Calibration:
    """The calibration that ``encode_calibration`` wrote.

    Raises:
        GoldenError: it is damaged or too new.
    """
    where = CALIBRATION
    document = sealed.parse(data, where=where)
    sealed.check_schema(document, SCHEMA, where=where)
    sealed.check_seal(document, where=where)
    calibration = Calibration(
        golden=fields.required(document, "golden", fields.text, where),
        horizons=fields.required(document, "horizons", fields.mapping(fields.integer), where),
        noises=fields.required(document, "noise", _noises, where),
        scalars=fields.required(document, "scalars", fields.mapping(_steps), where),
        metrics=fields.required(document, "metrics", fields.mapping(_single), where),
        tensors=fields.required(document, "tensors", fields.by_rung(_tensors), where),
    )
    if encode_calibration(calibration) != data:
        raise GoldenError(
            "the file is not as goldtrace writes it", where=where, hint=sealed.RESTORE
        )
    return calibration


def _text(responses: list[Response | None]) -> str:
    """``small/large`` for each response, ``-`` for one that there is none of."""
    return " ".join(
        "-" if r is None else f"{_number(r.small)}/{_number(r.large)}" for r in responses
    )


def _number(value: float) -> str:
    return f"{value:.3g}"


def _responses(value: Any, key: str, where: str) -> list[Response | None]:
    parts = fields.text(value, key, where).split(" ")
    return [None if part == "-" else _response(part, key, where) for part in parts]


def _response(text: str, key: str, where: str) -> Response:
    try:
        small, large = map(float, text.split("/"))
    except ValueError:
        raise sealed.wrong_type(key, "two numbers", text, where=where) from None
    if math.isnan(small) or math.isnan(large) or min(small, large) < 0:
        raise sealed.wrong_type(key, "two numbers, at least 0", text, where=where)
    return Response(small, large)


def _single(value: Any, key: str, where: str) -> Response:
    [response] = _responses(value, key, where)[:1]
    if response is None:
        raise sealed.wrong_type(key, "two numbers", value, where=where)
    return response


def _steps(value: Any, key: str, where: str) -> dict[int, Response]:
    named = fields.mapping(_single)(value, key, where)
    return {_step(step, key, where): response for step, response in named.items()}


def _tensors(value: Any, key: str, where: str) -> dict[int, dict[str, Response]]:
    steps = dict(fields.mapping(lambda item, *_: item)(value, key, where))
    names = fields.required(steps, "names", fields.texts, where)
    del steps["names"]
    result: dict[int, dict[str, Response]] = {}
    for step, text in steps.items():
        responses = _responses(text, f"{key}.{step}", where)
        if len(responses) != len(names):
            raise sealed.wrong_type(
                f"{key}.{step}", f"{len(names)} responses", f"{len(responses)}", where=where
            )
        result[_step(step, key, where)] = {
            name: response
            for name, response in zip(names, responses, strict=True)
            if response is not None
        }
    return result


def _noises(value: Any, key: str, where: str) -> tuple[Noise, ...]:
    noises = [_noise(item, key, where) for item in fields.texts(value, key, where)]
    if len({noise.ulp for noise in noises}) != 2 or min(n.ulp for n in noises) <= 0:  # noqa: PLR2004
        raise sealed.wrong_type(key, "noise of two sizes", value, where=where)
    return tuple(noises)


def _noise(text: str, key: str, where: str) -> Noise:
    try:
        ulp, seed = text.split(" ")
        return Noise(ulp=float(ulp), seed=int(seed))
    except ValueError:
        raise sealed.wrong_type(key, "ulp and seed", text, where=where) from None


def _step(text: str, key: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise sealed.wrong_type(key, "the number of a step", text, where=where) from None
