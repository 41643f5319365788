from __future__ import annotations

import dataclasses
import json
from typing import Any

import golden_samples as samples
import numpy as np
import pytest

from goldtrace.errors import GoldenError, RecordingError
from goldtrace.model import sealed
from goldtrace.model.codec import (
    HEADER,
    STEPS,
    TENSORS,
    decode_trace,
    encode_trace,
    trace_digest,
)
from goldtrace.model.gzipped import compress, decompress
from goldtrace.model.scalar import Scalar
from goldtrace.model.trace import INITIAL_STEP, End, StepRecord, Trace, is_sketched
from goldtrace.model.verdict import Rung


def lines_of(files: dict[str, bytes], name: str = STEPS) -> list[dict[str, Any]]:
    content = decompress(files[name], where=name) if name == TENSORS else files[name]
    return [json.loads(line) for line in content.splitlines()]


def changed(
    key: str, value: Any, *, line: int | None = None, file: str = STEPS
) -> dict[str, bytes]:
    """The sample's files with one key replaced (or removed: ``...``) and digests that fit."""
    files = encode_trace(samples.trace())
    header = json.loads(files[HEADER])
    lines = lines_of(files, file)
    document = header if line is None else lines[line]
    *path, last = key.split("/")
    for part in path:
        document = document[part]
    if value is ...:
        del document[last]
    else:
        document[last] = value
    content = b"".join(map(sealed.to_line, lines))
    header["files"][file] = sealed.sha256(content)
    del header[sealed.DIGEST]
    return {
        **files,
        file: compress(content) if file == TENSORS else content,
        HEADER: sealed.to_page(sealed.seal(header)),
    }


def test_a_line_begins_with_what_a_reviewer_reads() -> None:
    step = encode_trace(samples.trace())[STEPS].splitlines()[2].decode()
    assert step.startswith(
        '{"step":1,"scalars":{"loss":[1.25,"0x1.4000000000000p+0","float32"]},'
        '"hyper":{"group0.lr":[0.1,'
    )
    assert list(json.loads(step)) == [
        "step",
        "scalars",
        "hyper",
        "grad_norm",
        "ladder",
        "rng",
        "samples",
    ]


def test_rungs_stand_in_causal_order() -> None:
    line = lines_of(encode_trace(samples.trace()))[1]
    assert list(line["ladder"]) == ["batch", "weights"]


def test_only_what_changes_is_repeated_but_learning_rates_always_are() -> None:
    lines = lines_of(encode_trace(samples.trace()))
    assert set(lines[1]["hyper"]) == {"group0.lr", "group0.momentum", "group0.mode"}
    assert set(lines[2]["hyper"]) == {"group0.lr"}
    assert set(lines[2]["rng"]) == {"torch"}


def test_a_hyperparameter_that_goes_away_is_gone_when_read() -> None:
    trace = samples.trace()
    first, second, *rest = trace.steps
    bare = dataclasses.replace(rest[0], hyperparameters={}, rng={})
    short = dataclasses.replace(trace, steps=(first, second, bare))
    files = encode_trace(short)
    assert lines_of(files)[2]["hyper"]["group0.lr"] is None
    assert decode_trace(files).steps[2].hyperparameters == {}


def test_tensor_names_are_written_once_a_rung() -> None:
    files = encode_trace(samples.trace())
    assert json.dumps(lines_of(files, TENSORS)).count("layer.bias") == 1
    assert decode_trace(files).steps[-1].tensors[Rung.WEIGHTS]["layer.bias"] == samples.digest(6)


def test_decimals_have_the_digits_of_their_format() -> None:
    third = 1 / 3
    shown = {
        dtype: Scalar.of(third, dtype) for dtype in ("float64", "float32", "float16", "bfloat16")
    }
    trace = samples.trace()
    trace = dataclasses.replace(trace, end=End(metrics=shown))
    metrics = lines_of(encode_trace(trace))[-1]["end"]["metrics"]
    assert {name: value[0] for name, value in metrics.items()} == {
        "float64": 0.3333333333333333,
        "float32": 0.333333333,
        "float16": 0.33333,
        "bfloat16": 0.3333,
    }


def test_the_digest_of_a_trace_is_the_sha256_of_its_header_and_covers_the_steps() -> None:
    files = encode_trace(samples.trace())
    other = encode_trace(samples.trace(losses=(2.5, 1.25, 0.6250001)))
    assert trace_digest(files) == sealed.sha256(files[HEADER])
    assert trace_digest(files) != trace_digest(other)


def resnet18_tensors() -> tuple[list[str], list[str]]:
    weights, norms = ["conv1.weight", "fc.weight", "fc.bias"], ["bn1"]
    for layer in range(1, 5):
        for block in range(2):
            here = f"layer{layer}.{block}"
            weights += [f"{here}.conv1.weight", f"{here}.conv2.weight"]
            norms += [f"{here}.bn1", f"{here}.bn2"]
        if layer > 1:
            weights.append(f"layer{layer}.0.downsample.0.weight")
            norms.append(f"layer{layer}.0.downsample.1")
    weights += [f"{norm}.{kind}" for norm in norms for kind in ("weight", "bias")]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return weights, [f"{norm}.{kind}" for norm in norms for kind in statistics]


@pytest.mark.parametrize("states", [("momentum_buffer",), ("exp_avg", "exp_avg_sq", "step")])
def test_a_golden_of_40_steps_of_resnet18_stays_below_100_kb(states: tuple[str, ...]) -> None:
    """All but the operator tape, with digits that nothing compresses."""
    weights, buffers = resnet18_tensors()
    assert (len(weights), len(buffers)) == (62, 60)
    state = [f"{weight}/{name}" for weight in weights for name in states]

    def digests(names: list[str], step: int) -> dict[str, str]:
        return {name: sealed.sha256(f"{name} {step}".encode())[:32] for name in names}

    def sketches(names: list[str], step: int) -> dict[str, tuple[float, ...]]:
        drawn = np.random.default_rng(step).standard_normal((len(names), 8), dtype=np.float32)
        return {name: tuple(row) for name, row in zip(names, drawn.tolist(), strict=True)}

    def record(number: int) -> StepRecord:
        rungs = {Rung.WEIGHTS: weights, Rung.BUFFERS: buffers}
        if number != INITIAL_STEP:
            rungs |= {Rung.GRADIENTS: weights, Rung.OPTIMIZER: state}
        tensors = {rung: digests(names, number) for rung, names in rungs.items()}
        if number == INITIAL_STEP:
            shapes = dict.fromkeys(weights + buffers, "float32[512, 512, 3, 3] trainable")
            tensors[Rung.STRUCTURE] = shapes
        streams = ["python", "numpy", "torch", "generator:data", "generator:augmentation"]
        groups = [f"group{group}" for group in range(2)]
        names = ("momentum", "weight_decay", "eps", "betas[0]", "betas[1]")
        return StepRecord(
            number=number,
            scalars={"loss": Scalar.of(2.3 / (number + 3), "float64")},
            hyperparameters={
                **{f"{group}.lr": Scalar.of(0.1 / (number + 7)) for group in groups},
                **{f"{group}.{name}": Scalar.of(0.9) for group in groups for name in names},
            },
            grad_norm=Scalar.of(1.2 / (number + 3)),
            ladder=dict.fromkeys((Rung.BATCH, Rung.RNG, *rungs), samples.digest(number + 5)),
            rng=digests(streams, number),
            samples=samples.digest(number + 9),
            tensors=tensors if number in (INITIAL_STEP, 0, 39) else {},
            sketches={
                Rung.WEIGHTS: sketches(weights, number + 50),
                Rung.BUFFERS: sketches(buffers, number + 100),
            }
            if number in (INITIAL_STEP, 39) or is_sketched(number)
            else {},
        )

    packages = {f"some-distribution-{number}": "2025.10.11" for number in range(120)}
    environment = dataclasses.replace(samples.header().environment, packages=packages)
    trace = Trace(
        header=samples.header(environment=environment),
        steps=tuple(record(number) for number in range(INITIAL_STEP, 40)),
        end=End(),
    )
    files = encode_trace(trace)
    assert sum(map(len, files.values())) < 100_000
    assert decode_trace(files) == trace


@pytest.mark.parametrize("name", [HEADER, STEPS])
def test_a_flipped_bit_anywhere_is_an_error(name: str) -> None:
    files = encode_trace(samples.trace())
    for place in range(len(files[name])):
        damaged = bytearray(files[name])
        damaged[place] ^= 1 << place % 8
        with pytest.raises(GoldenError):
            decode_trace({**files, name: bytes(damaged)})


@pytest.mark.parametrize("name", [HEADER, STEPS, TENSORS])
def test_a_truncated_file_is_an_error(name: str) -> None:
    files = encode_trace(samples.trace())
    for length in range(0, len(files[name]), 7):
        with pytest.raises(GoldenError):
            decode_trace({**files, name: files[name][:length]})


def test_a_truncated_file_names_the_line_at_which_it_ends() -> None:
    files = encode_trace(samples.trace())
    cut = files[STEPS].index(b'"step":1') + 30
    with pytest.raises(GoldenError, match="truncated") as caught:
        decode_trace({**files, STEPS: files[STEPS][:cut]})
    assert caught.value.where == "steps.jsonl:3"
    assert caught.value.hint is not None


@pytest.mark.parametrize("drop", [0, 2, -1])
def test_a_missing_line_is_an_error(drop: int) -> None:
    files = encode_trace(samples.trace())
    lines = files[STEPS].splitlines(keepends=True)
    del lines[drop]
    with pytest.raises(GoldenError, match="not the ones that the header was written for"):
        decode_trace({**files, STEPS: b"".join(lines)})


@pytest.mark.parametrize("name", [HEADER, STEPS, TENSORS])
def test_a_missing_file_is_an_error(name: str) -> None:
    files = encode_trace(samples.trace())
    del files[name]
    with pytest.raises(GoldenError, match=f"{name}: the file is missing"):
        decode_trace(files)


@pytest.mark.parametrize("name", [HEADER, STEPS])
def test_converted_line_endings_are_told(name: str) -> None:
    files = encode_trace(samples.trace())
    with pytest.raises(GoldenError, match="line endings were converted"):
        decode_trace({**files, name: files[name].replace(b"\n", b"\r\n")})


@pytest.mark.parametrize("name", [HEADER, STEPS])
def test_the_marks_of_a_merge_conflict_are_told(name: str) -> None:
    files = encode_trace(samples.trace())
    first, rest = files[name].split(b"\n", 1)
    conflict = first + b"\n<<<<<<< HEAD\n=======\n>>>>>>> other\n" + rest
    with pytest.raises(GoldenError, match="merge conflict"):
        decode_trace({**files, name: conflict})


@pytest.mark.parametrize(
    ("key", "value", "line", "where", "what"),
    [
        ("device", ..., None, "header.json", "the key device is missing"),
        ("device", 3, None, "header.json", "device is not"),
        ("pins/OMP_NUM_THREADS", 1, None, "header.json", "pins.OMP_NUM_THREADS is not"),
        ("seeds/torch", "20", None, "header.json", "seeds.torch is not"),
        ("environment", {"weather": {}}, None, "header.json", "environment is not"),
        ("environment/system", [], None, "header.json", "environment.system is not"),
        ("revision", "main", None, "header.json", "revision is not"),
        ("revision/dirty", 0, None, "header.json", "dirty is not"),
        ("settings", [], None, "header.json", "settings is not"),
        ("settings/seed", {"$float": "1"}, None, "header.json", "settings.seed is not"),
        ("data/cifar10", "x", None, "header.json", "data.cifar10 is not"),
        ("schema", "1", None, "header.json", "schema is not"),
        ("schema", True, None, "header.json", "schema is not"),
        ("extra", 1, None, "header.json:", "not as goldtrace writes it"),
        ("step", ..., 1, "steps.jsonl:2", "the key step is missing"),
        ("step", "0", 1, "steps.jsonl:2", "step is not"),
        ("step", -1, 1, "steps.jsonl:2", "step is not"),
        ("scalars/loss", 2.5, 1, "steps.jsonl:2", "scalars.loss is not"),
        ("scalars/loss", [9.5, "0x1.4p+1", "float32"], 1, "steps.jsonl:2", "scalars.loss is not"),
        (
            "scalars/loss",
            [9.5, "0x1.4000000000000p+1", "float32"],
            1,
            "steps.jsonl:2",
            "scalars.loss is not",
        ),
        ("scalars/loss", ["nan", "nan:12", "float32"], 1, "steps.jsonl:2", "scalars.loss is not"),
        (
            "scalars/loss",
            ["nan", "nan:7ff0000000000000", "float32"],
            1,
            "steps.jsonl:2",
            "scalars.loss is not",
        ),
        ("hyper/group0.lr", 0.1, 1, "steps.jsonl:2", "hyper.group0.lr is not"),
        ("ladder/mood", "0", 1, "steps.jsonl:2", "ladder is not"),
        ("ladder/batch", None, 1, "steps.jsonl:2", "ladder.batch is not"),
        ("rng/torch", 7, 1, "steps.jsonl:2", "rng.torch is not"),
        ("loss", 2.5, 1, "steps.jsonl:2", "not as goldtrace writes it"),
        ("end", [], 4, "steps.jsonl:5", "end is not"),
        ("end/metrics", ..., 4, "steps.jsonl:5", "the key metrics is missing"),
        ("end/final/mood", "0", 4, "steps.jsonl:5", "final is not"),
        ("end", ..., 4, "steps.jsonl:5", "the end of the run is missing"),
    ],
)
def test_content_that_is_sealed_and_still_wrong_is_named(
    key: str, value: Any, line: int | None, where: str, what: str
) -> None:
    with pytest.raises(GoldenError) as caught:
        decode_trace(changed(key, value, line=line))
    assert what in caught.value.what
    assert (caught.value.where or "").startswith(where)


@pytest.mark.parametrize(
    ("key", "value", "line", "what"),
    [
        ("tensors/weights", ["0"], 1, "tensors.weights is not"),
        ("tensors/weights", ["0", 1], 1, "tensors.weights is not"),
        ("tensors/buffers", ["0"], 1, "tensors.buffers is not"),
        ("tensors/mood", {}, 1, "tensors is not"),
        ("tensors", 7, 1, "tensors is not"),
        ("sketches", {"weights": "0"}, 1, "sketches.weights is not"),
        ("sketches", {"weights": "zz"}, 1, "sketches.weights is not"),
        ("step", ..., 1, "the key step is missing"),
        ("step", 77, 1, "step is not"),
    ],
)
def test_tensors_that_are_sealed_and_still_wrong_are_named(
    key: str, value: Any, line: int, what: str
) -> None:
    with pytest.raises(GoldenError) as caught:
        decode_trace(changed(key, value, line=line, file=TENSORS))
    assert what in caught.value.what
    assert caught.value.where == "tensors.jsonl.gz:2"


def test_two_lines_of_tensors_for_one_step_are_not_as_goldtrace_writes_them() -> None:
    with pytest.raises(GoldenError, match="not as goldtrace writes it"):
        decode_trace(changed("step", INITIAL_STEP, line=1, file=TENSORS))


def test_a_newer_schema_says_to_upgrade() -> None:
    with pytest.raises(GoldenError, match="newer goldtrace") as caught:
        decode_trace(changed("schema", 99))
    assert caught.value.expected == "schema 2 or older"
    assert "upgrade" in (caught.value.hint or "")


def test_an_older_schema_without_a_migration_says_to_record_again() -> None:
    with pytest.raises(GoldenError, match="older goldtrace") as caught:
        decode_trace(changed("schema", 0))
    assert "goldtrace record" in (caught.value.hint or "")


@pytest.mark.parametrize("numbers", [(0, 0), (1, 0), (-2,), (0, -1)])
def test_steps_that_do_not_ascend_are_refused(numbers: tuple[int, ...]) -> None:
    steps = tuple(StepRecord(number=number) for number in numbers)
    with pytest.raises(RecordingError, match="must ascend"):
        encode_trace(dataclasses.replace(samples.trace(), steps=steps))


@pytest.mark.parametrize(
    "scalar",
    [
        Scalar("1.5", "float32"),
        Scalar("0x1.8p+0", "float8_e4m3fn"),
        Scalar("007", "int64"),
        Scalar("nan:xyz", "float32"),
        Scalar("", "float64"),
    ],
)
def test_a_number_in_no_known_spelling_is_refused(scalar: Scalar) -> None:
    step = StepRecord(number=0, scalars={"loss": scalar})
    with pytest.raises(RecordingError, match="number that cannot be recorded"):
        encode_trace(dataclasses.replace(samples.trace(), steps=(step,)))


@pytest.mark.parametrize("setting", [{1: 2}, {"when": object()}, {"raw": b"x"}, {"set": {1}}])
def test_a_setting_that_json_cannot_hold_is_refused(setting: Any) -> None:
    with pytest.raises(RecordingError):
        encode_trace(samples.trace(settings=setting))


def test_tuples_in_settings_come_back_as_lists() -> None:
    trace = samples.trace(settings={"betas": (0.9, 0.98)})
    assert decode_trace(encode_trace(trace)).header.settings == {"betas": [0.9, 0.98]}


def test_files_of_the_golden_that_are_not_the_traces_are_left_alone() -> None:
    files = encode_trace(samples.trace())
    assert decode_trace({**files, "certificate.json": b"broken"}) == samples.trace()


def test_the_conditions_of_the_accelerator_come_back() -> None:
    conditions = {"start": {"temperature": "40 C"}, "end": {"temperature": "61 C"}}
    plain = samples.trace()
    header = dataclasses.replace(plain.header, conditions=conditions)
    written = dataclasses.replace(plain, header=header)
    assert decode_trace(encode_trace(written)).header.conditions == conditions
    assert b"conditions" not in encode_trace(plain)[HEADER]
