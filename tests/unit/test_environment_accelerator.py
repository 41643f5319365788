from __future__ import annotations

import sys
import types

import pytest

from goldtrace.environment import accelerator, accelerator_conditions, throttling


class NotSupported(Exception):  # noqa: N818 - stands for NVML's NVMLError
    pass


def fake_nvml(**replaced: object) -> types.SimpleNamespace:
    """A driver with two cards; what a card does not support raises, as NVML does."""

    def unsupported(*_: object) -> object:
        raise NotSupported

    def by_index(index: int) -> str:
        if index > 1:
            raise NotSupported
        return f"card {index}"

    functions = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetHandleByUUID": lambda uuid: f"card {uuid}",
        "nvmlDeviceGetName": lambda card: f"H100 {card}".encode(),
        "nvmlSystemGetDriverVersion": lambda: "570.1",
        "nvmlSystemGetCudaDriverVersion": lambda: 12080,
        "nvmlDeviceGetVbiosVersion": unsupported,
        "nvmlDeviceGetMemoryInfo": lambda _: types.SimpleNamespace(total=80 << 30),
        "nvmlDeviceGetMemoryBusWidth": lambda _: 5120,
        "nvmlDeviceGetEccMode": lambda _: [1, 1],
        "nvmlDeviceGetMigMode": unsupported,
        "nvmlDeviceGetMaxClockInfo": lambda _, kind: 1000 + kind,
        "nvmlDeviceGetEnforcedPowerLimit": lambda _: 700_000,
        "nvmlDeviceGetCudaComputeCapability": lambda _: (9, 0),
    }
    constants = {"NVMLError": NotSupported, "NVML_CLOCK_SM": 1, "NVML_CLOCK_MEM": 2}
    return types.SimpleNamespace(**{**functions, **constants, **replaced})


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(accelerator, "sys", types.SimpleNamespace(modules={}))
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    return monkeypatch


def test_the_driver_describes_the_card_and_what_it_does_not_know_is_left_out(
    nvml: pytest.MonkeyPatch,
) -> None:
    assert accelerator.describe_accelerator() == {
        "capability": "9.0",
        "driver": "570.1",
        "driver_cuda": "12.8",
        "ecc": "on",
        "memory": "81920 MiB",
        "memory_bus": "5120 bit",
        "memory_clock_max": "1002 MHz",
        "model": "H100 card 0",
        "power_limit": "700 W",
        "sm_clock_max": "1001 MHz",
    }
    assert accelerator.compute_capability() == "90"


@pytest.mark.parametrize(
    ("visible", "card"), [("1,0", "card 1"), ("GPU-abc", "card GPU-abc"), ("0", "card 0")]
)
def test_the_card_is_the_first_one_that_cuda_may_see(
    nvml: pytest.MonkeyPatch, visible: str, card: str
) -> None:
    nvml.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert accelerator.describe_accelerator()["model"] == f"H100 {card}"


@pytest.mark.parametrize("visible", ["", "-1", "7"])
def test_a_card_that_is_hidden_or_absent_is_not_described(
    nvml: pytest.MonkeyPatch, visible: str
) -> None:
    nvml.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert accelerator.describe_accelerator() == {}


def test_without_a_driver_there_is_nothing_to_describe(nvml: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise NotSupported

    nvml.setitem(sys.modules, "pynvml", fake_nvml(nvmlInit=no_driver))

    assert accelerator.describe_accelerator() == {}


def test_without_nvml_torch_tells_what_it_knows(nvml: pytest.MonkeyPatch) -> None:
    nvml.setitem(sys.modules, "pynvml", None)
    properties = types.SimpleNamespace(
        name="H100", major=9, minor=0, total_memory=80 << 30, multi_processor_count=132
    )
    torch = types.SimpleNamespace(
        cuda=types.SimpleNamespace(
            is_available=lambda: True,
            is_initialized=lambda: True,
            current_device=lambda: 0,
            get_device_properties=lambda _: properties,
            get_device_capability=lambda: (9, 0),
        ),
        version=types.SimpleNamespace(cuda="13.2"),
        backends=types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: 92600)),
    )
    nvml.setattr(accelerator, "sys", types.SimpleNamespace(modules={"torch": torch}))

    assert accelerator.describe_accelerator() == {
        "capability": "9.0",
        "cuda": "13.2",
        "cudnn": "92600",
        "memory": "81920 MiB",
        "model": "H100",
        "multiprocessors": "132",
    }
    assert accelerator.compute_capability() == "90"


def conditions_of(
    nvml: pytest.MonkeyPatch, reasons: int, power: int = 0, thermal: int = 0, **replaced: object
) -> dict[str, str]:
    """What ``accelerator_conditions`` says of a card in this state; times in nanoseconds."""

    def violated(_card: str, policy: int) -> types.SimpleNamespace:
        return types.SimpleNamespace(violationTime=(power, thermal)[policy])

    answers = {
        "nvmlDeviceGetTemperature": lambda _card, _sensor: 61,
        "nvmlDeviceGetClockInfo": lambda _card, kind: 1900 + kind,
        "nvmlDeviceGetPowerUsage": lambda _: 312_400,
        "nvmlDeviceGetPerformanceState": lambda _: 0,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _: reasons,
        "nvmlDeviceGetViolationStatus": violated,
    }
    nvml.setitem(sys.modules, "pynvml", fake_nvml(**{**answers, **replaced}))
    return accelerator_conditions()


def test_temperature_clocks_and_power_are_told_as_they_are_now(nvml: pytest.MonkeyPatch) -> None:
    assert conditions_of(nvml, reasons=0x1, power=5_000_000) == {
        "memory_clock": "1902 MHz",
        "performance_state": "P0",
        "power": "312 W",
        "slowed by power limit": "5000 us",
        "slowed by thermal limit": "0 us",
        "slowed now": "no",
        "sm_clock": "1901 MHz",
        "temperature": "61 C",
    }


def test_an_idle_card_or_one_with_clocks_of_its_users_choice_has_not_throttled(
    nvml: pytest.MonkeyPatch,
) -> None:
    calm = conditions_of(nvml, reasons=0x1 | 0x2 | 0x10 | 0x100, power=9_000_000)
    assert throttling(calm, calm) is None
    assert throttling({}, {}) is None


def test_a_card_that_throttled_says_why_and_for_how_long(nvml: pytest.MonkeyPatch) -> None:
    start = conditions_of(nvml, reasons=0x4, power=1_000_000, thermal=0)
    end = conditions_of(nvml, reasons=0x20 | 0x40, power=1_000_000, thermal=12_500_000)
    assert throttling(start, end) == (
        "power cap at the start; too hot (driver), too hot (hardware) at the end; "
        "12.5 ms below its clocks by the thermal limit"
    )
    # What happened between the two is seen although neither shows it.
    start = conditions_of(nvml, reasons=0)
    end = conditions_of(nvml, reasons=0, power=2_000_000)
    assert throttling(start, end) == "2 ms below its clocks by the power limit"


def test_older_drivers_are_asked_by_the_older_name(nvml: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> types.SimpleNamespace:
        fake = fake_nvml(nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: 0x8)
        assert not hasattr(fake, name)
        return fake

    nvml.setitem(sys.modules, "pynvml", absent("nvmlDeviceGetCurrentClocksEventReasons"))
    assert accelerator_conditions() == {"slowed now": "hardware slowdown"}


def test_a_driver_that_lacks_a_question_is_asked_by_the_older_name(
    nvml: pytest.MonkeyPatch,
) -> None:
    def lacking(_card: str) -> int:
        raise NotSupported  # FUNCTION_NOT_FOUND: the module knows the name, its library doesn't

    conditions = conditions_of(
        nvml,
        reasons=0,
        nvmlDeviceGetCurrentClocksEventReasons=lacking,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: 0x40,
    )
    assert conditions["slowed now"] == "too hot (hardware)"


def test_a_slice_of_a_card_and_an_old_module_leave_out_what_they_cannot_tell(
    nvml: pytest.MonkeyPatch,
) -> None:
    def of_the_whole_card_only(_card: str) -> object:
        raise NotSupported

    fake = fake_nvml(nvmlDeviceGetCudaComputeCapability=of_the_whole_card_only)
    del fake.nvmlDeviceGetMemoryBusWidth
    nvml.setitem(sys.modules, "pynvml", fake)
    nvml.setattr(accelerator, "_nvidia_smi", lambda _field: "9.0")

    assert accelerator.compute_capability() == "90"
    assert accelerator.describe_accelerator().keys().isdisjoint({"capability", "memory_bus"})


def test_without_a_driver_there_are_no_conditions(nvml: pytest.MonkeyPatch) -> None:
    nvml.setitem(sys.modules, "pynvml", None)
    assert accelerator_conditions() == {}
