from __future__ import annotations

from dataclasses import replace

from goldtrace.environment import changes
from goldtrace.model.environment import Environment, Revision
from goldtrace.model.trace import Header
from goldtrace.model.verdict import Change

GOLDEN = Header(
    run="mlp",
    device="cpu",
    platform="cpu-portable",
    origin="golden/mlp/run.toml",
    settings={"seed": 0, "config": {"lr": 0.1, "layers": [3, 4]}, "entry": "train:run"},
    spec_digest="0",
    pins={"OMP_NUM_THREADS": "1"},
    seeds={"torch": 0},
    data={"cifar10": {"train.bin": "aa"}},
    environment=Environment(
        system={"kernel": "6.1"},
        packages={"torch": "2.14.1", "numpy": "2.3.0", "nvidia-cublas": "13.0", "pytest": "9.1"},
        libraries={"torch.mkl": "2024.2"},
        accelerator={"driver": "570"},
    ),
    revision=Revision(commit="a" * 40, dirty=False),
)


def test_equal_headers_have_no_changes() -> None:
    assert changes(GOLDEN, GOLDEN) == ()


def test_the_likeliest_causes_come_first() -> None:
    now = replace(
        GOLDEN,
        settings={"seed": 0, "config": {"lr": 0.2, "layers": [3, 4]}, "entry": "train:run"},
        pins={"OMP_NUM_THREADS": "2"},
        seeds={"torch": 1},
        data={"cifar10": {"train.bin": "bb"}},
        environment=Environment(
            system={"kernel": "6.2"},
            packages={
                "torch": "2.15.0",
                "numpy": "2.4.0",
                "nvidia-cublas": "13.4",
                "pytest": "9.2",
                "nvidia-ml-py": "13",
            },
            libraries={"torch.mkl": "2025.0"},
            accelerator={"driver": "580"},
        ),
        revision=Revision(commit="b" * 40, dirty=True, diff="c"),
    )

    found = changes(GOLDEN, now)

    assert found[0] == Change(what="torch", golden="2.14.1", now="2.15.0")
    assert [change.what for change in found] == [
        "torch",
        "numpy",
        "nvidia-cublas",
        "setting config.lr",
        "data cifar10.train.bin",
        "seed torch",
        "pin OMP_NUM_THREADS",
        "library torch.mkl",
        "accelerator driver",
        "system kernel",
        "nvidia-ml-py",
        "pytest",
        "code",
    ]
    assert found[-1] == Change(what="code", golden="a" * 12, now="b" * 12 + " with local changes")


def test_what_came_or_went_is_none_on_the_side_that_lacks_it() -> None:
    packages = {**GOLDEN.environment.packages, "timm": "1.0"}
    del packages["pytest"]
    now = replace(
        GOLDEN,
        settings={"seed": 0, "config": {"lr": 0.1}, "entry": "train:run"},
        environment=replace(GOLDEN.environment, packages=packages),
        revision=None,
    )

    assert changes(GOLDEN, now) == (
        Change(what="timm", golden=None, now="1.0"),
        Change(what="setting config.layers", golden="[3, 4]", now=None),
        Change(what="pytest", golden="9.1", now=None),
        Change(what="code", golden="a" * 12, now=None),
    )
