"""The built-in runs: they learn, and only what is declared decides their numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import goldtrace
from goldtrace.compare import compare_traces
from goldtrace.errors import DataUnavailableError, SpecError
from goldtrace.launch import launch
from goldtrace.model.codec import TAPE
from goldtrace.model.verdict import Verdict
from goldtrace.reference import resnet18, synthetic, transformer
from goldtrace.reference.images import AugmentedImages, decode, training_loader
from goldtrace.store.declared import discover, load_run
from goldtrace.store.golden import GoldenStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

GOLDEN = Path(__file__).parents[2] / "golden"
RUNS = {path.parent.name: load_run(path) for path in discover(GOLDEN)}
SMALL = {"train_images": 11, "test_images": 7, "batch_size": 5, "crop": 13, "workers": 0}

# Python 3.12 and later warn of any fork beside other threads; torch keeps some.
forking = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Notes:
    """What a run object is told, kept."""

    name = "noted"

    def __init__(self, config: Mapping[str, Any], device: str = "cpu") -> None:
        self.config = config
        self.device = device
        self.seed = 5
        self.losses: list[float] = []
        self.watched: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.files: dict[str, Mapping[str, str]] = {}

    def watch(self, **watched: Any) -> None:
        self.watched = watched

    def step(self, *, loss: torch.Tensor, batch: Any) -> None:
        assert batch is not None
        self.losses.append(loss.item())

    def metric(self, **values: Any) -> None:
        self.metrics = {name: float(value) for name, value in values.items()}

    def data(self, name: str, files: Mapping[str, str]) -> None:
        self.files[name] = files


def trained(
    train: Callable[[Any], None], config: Mapping[str, Any], device: str = "cpu", /, **changes: Any
) -> Notes:
    notes = Notes({**config, **changes}, device)
    goldtrace.seed_everything(notes.seed)
    train(notes)
    return notes


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_runs_are_declared_for_both_devices_and_float16_for_the_gpu() -> None:
    full = ["resnet18-cifar10", "resnet18-synthetic", "transformer"]
    assert sorted(RUNS) == sorted([*full, "resnet18-fp16", "transformer-bf16"])
    devices = {name: spec.devices for name, spec in RUNS.items()}
    assert devices.pop("resnet18-fp16") == ("cuda",)
    assert set(devices.values()) == {("cpu", "cuda")}


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_losses_of_every_golden_fall(name: str) -> None:
    store = GoldenStore(GOLDEN)
    platforms = store.platforms(name)
    if not platforms:
        pytest.skip(f"no golden of {name} is recorded")
    for platform in platforms:
        golden = store.load(name, platform)
        assert golden is not None
        losses = [step.scalars["loss"].value for step in golden.trace.steps[1:]]
        quarter = len(losses) // 4
        assert sum(losses[-quarter:]) < 0.9 * sum(losses[:quarter]), platform


def test_the_transformer_learns_and_reports_three_metrics() -> None:
    notes = trained(transformer.train, RUNS["transformer"].config)

    assert len(notes.losses) == 40
    assert sum(notes.losses[-5:]) < 0.7 * sum(notes.losses[:5])
    assert notes.metrics["accuracy"] > 3 / synthetic.VOCABULARY
    # Two roads to one number: the mean cross entropy, and torcheval's perplexity of all tokens.
    expected = torch.tensor(notes.metrics["test_loss"]).exp().item()
    assert notes.metrics["perplexity"] == pytest.approx(expected, rel=1e-5)
    assert list(notes.files) == ["strides"]


@forking
def test_worker_processes_do_not_decide_the_numbers_of_resnet() -> None:
    config = {**RUNS["resnet18-synthetic"].config, **SMALL, "epochs": 2}

    alone = trained(resnet18.train, config)
    helped = trained(resnet18.train, config, workers=2)

    assert len(alone.losses) == 4
    assert helped.losses == alone.losses
    assert helped.metrics == alone.metrics
    weights = zip(
        alone.watched["model"].state_dict().values(),
        helped.watched["model"].state_dict().values(),
        strict=True,
    )
    assert all(torch.equal(one, other) for one, other in weights)


@forking
def test_batches_are_the_same_from_any_number_of_workers() -> None:
    images = decode(synthetic.images(synthetic.Split.TRAIN)).head(23)

    def stream(workers: int) -> list[torch.Tensor]:
        goldtrace.seed_everything(3)
        dataset = AugmentedImages(images, side=26)
        loader = training_loader(dataset, batch_size=5, workers=workers)
        batches: list[torch.Tensor] = []
        for _ in range(2):
            dataset.draw(goldtrace.generator("augmentation"))
            batches.extend(pixels for pixels, _ in loader)
        return batches

    alone = stream(0)
    assert len(alone) == 8
    assert not torch.equal(alone[0], alone[4]), "each epoch has its own order and crops"
    for workers in (1, 2):
        assert all(torch.equal(a, b) for a, b in zip(alone, stream(workers), strict=True))


def test_loading_leaves_the_global_stream_to_the_model() -> None:
    goldtrace.seed_everything(3)
    images = decode(synthetic.images(synthetic.Split.TRAIN)).head(10)
    dataset = AugmentedImages(images, side=26)
    before = torch.get_rng_state()

    loader = training_loader(dataset, batch_size=5, workers=0)
    dataset.draw(goldtrace.generator("augmentation"))
    list(loader)

    assert torch.equal(torch.get_rng_state(), before)


def test_decoding_keeps_labels_and_planes_apart() -> None:
    record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([3]) * 1024

    images = decode(record * 2)

    assert images.labels.tolist() == [7, 7]
    assert images.pixels[1, :, 31, 31].tolist() == [1, 2, 3]


def test_the_schedule_warms_up_in_a_line_and_ends_at_zero() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = resnet18.build_scheduler(optimizer, warmup=4, steps=16)

    rates = []
    for _ in range(16):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[4]
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_every_parameter_of_the_transformer_is_in_one_group_and_only_matrices_decay() -> None:
    model = trained(transformer.train, RUNS["transformer"].config, epochs=1).watched

    decayed, others = model["optimizer"].param_groups
    ids = [id(weight) for group in (decayed, others) for weight in group["params"]]
    assert sorted(ids) == sorted(id(weight) for weight in model["model"].parameters())
    assert all(weight.ndim == 2 for weight in decayed["params"])
    assert (decayed["weight_decay"] > 0, others["weight_decay"]) == (True, 0.0)


@pytest.mark.parametrize(
    ("name", "train", "change", "message"),
    [
        ("resnet18-cifar10", resnet18.train, {"epoch": 1}, "did you mean 'epochs'"),
        ("resnet18-cifar10", resnet18.train, {"data": "cifar100"}, "cifar10 or synthetic"),
        ("resnet18-cifar10", resnet18.train, {"train_images": 1001}, "1 to 1000"),
        ("resnet18-cifar10", resnet18.train, {"batch_size": 61}, "2 to 60"),
        ("resnet18-cifar10", resnet18.train, {"epochs": 0}, "at least 1"),
        ("transformer", transformer.train, {"heads": 5}, "a multiple of heads"),
        ("transformer", transformer.train, {"dropout": "0.1"}, "wrong type for 'dropout'"),
    ],
)
def test_a_wrong_config_is_refused_before_any_work(
    name: str, train: Callable[[Any], None], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        train(Notes({**RUNS[name].config, **change}))

    assert message in str(caught.value)


def test_without_data_and_network_the_cifar_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDTRACE_DATA", str(tmp_path))
    monkeypatch.setenv("GOLDTRACE_OFFLINE", "1")

    with pytest.raises(DataUnavailableError, match="goldtrace data cifar10"):
        trained(resnet18.train, RUNS["resnet18-cifar10"].config)


@on_a_gpu
@pytest.mark.parametrize("name", ["resnet18-synthetic", "transformer"])
def test_the_runs_use_no_operator_without_a_deterministic_cuda_kernel(name: str) -> None:
    small = SMALL if name.startswith("resnet") else {}
    spec = replace(RUNS[name], config={**RUNS[name].config, **small, "epochs": 1})
    first, second = (launch(spec, "cuda", root=GOLDEN.parent) for _ in range(2))
    assert compare_traces(first, second, tolerance={}).verdict is Verdict.IDENTICAL


def test_the_transformer_learns_in_bfloat16_too() -> None:
    notes = trained(transformer.train_mixed, RUNS["transformer-bf16"].config)

    assert notes.watched["scaler"] is None
    assert len(notes.losses) == 20
    assert sum(notes.losses[-5:]) < 0.9 * sum(notes.losses[:5])
    assert (
        notes.losses
        != trained(
            transformer.train_mixed, RUNS["transformer-bf16"].config, precision="float16"
        ).losses
    )


def test_the_loss_scale_is_constant_and_leaves_the_gradients_as_they_were() -> None:
    config = {**RUNS["resnet18-fp16"].config, **SMALL, "epochs": 1, "precision": "bfloat16"}
    plain = trained(resnet18.train_mixed, config, loss_scale=1)
    scaled = trained(resnet18.train_mixed, config, loss_scale=1024.0)

    assert plain.watched["scaler"] is None
    assert scaled.watched["scaler"].get_scale() == 1024.0
    # Scaling by a power of two is exact in bfloat16, whose exponents are float32's.
    assert scaled.losses == plain.losses


@pytest.mark.parametrize("changes", [{"precision": "float8"}, {"loss_scale": 0.0}])
def test_a_mixed_precision_that_does_not_exist_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="no such mixed precision"):
        trained(transformer.train_mixed, RUNS["transformer-bf16"].config, **changes)


@on_a_gpu
def test_float16_trains_on_the_gpu_under_its_loss_scale() -> None:
    notes = trained(resnet18.train_mixed, RUNS["resnet18-fp16"].config, "cuda")

    assert sum(notes.losses[-4:]) < sum(notes.losses[:4])
    assert notes.watched["scaler"].get_scale() == 1024.0


@pytest.mark.parametrize("run", sorted(set(GoldenStore(GOLDEN).runs()) & set(RUNS)))
def test_a_reference_golden_stays_below_100_kb_and_so_does_its_tape(run: str) -> None:
    for platform in GoldenStore(GOLDEN).platforms(run):
        sizes = {path.name: path.stat().st_size for path in (GOLDEN / run / platform).iterdir()}
        assert 0 < sizes.pop(TAPE) < 100_000
        assert sum(sizes.values()) < 100_000
