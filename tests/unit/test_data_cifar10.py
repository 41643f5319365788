"""CIFAR-10: where it is kept, how it is checked, and what happens without it."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tarfile
import threading
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldtrace.errors import DataError, DataUnavailableError
from goldtrace.reference import cifar10, cifar10_download
from goldtrace.reference.cifar10_download import TEST, TRAIN
from goldtrace.reference.manifest import FileDigest, Manifest

REAL = os.environ.get("GOLDTRACE_DATA", "")
real_data = pytest.mark.skipif(
    not (Path(REAL) / TRAIN).is_file() or not REAL,
    reason="GOLDTRACE_DATA names no directory with the CIFAR-10 subset",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOLDTRACE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_variable_names_the_directory_of_the_files(place: Path) -> None:
    assert cifar10.directory() == place


def test_without_the_variable_the_files_are_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOLDTRACE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")

    assert cifar10.directory() == Path("/caches/goldtrace/cifar10")


@real_data
def test_the_real_images_load_and_verify() -> None:
    train, test = cifar10.load()

    assert len(train) == len(test) == 1_000 * 3_073
    assert train[0] == 6  # a frog
    directory, digests = cifar10.fetch()
    assert digests[TRAIN] == hashlib.sha256((directory / TRAIN).read_bytes()).hexdigest()


@real_data
def test_a_wrong_byte_in_the_real_images_is_a_clear_error(place: Path) -> None:
    place.mkdir()
    shutil.copy(Path(REAL) / TEST, place / TEST)
    content = bytearray((Path(REAL) / TRAIN).read_bytes())
    content[-1] ^= 1
    (place / TRAIN).write_bytes(content)

    with pytest.raises(DataError, match="does not match its manifest") as caught:
        cifar10.load()

    assert caught.value.where == str(place / TRAIN)


def test_truncated_files_are_never_replaced_behind_ones_back(place: Path) -> None:
    place.mkdir()
    (place / TRAIN).write_bytes(b"")
    (place / TEST).write_bytes(b"")

    with pytest.raises(DataError, match="wrong size"):
        cifar10.load()


def test_offline_and_absent_is_told_at_once_with_the_command_that_helps(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDTRACE_OFFLINE", "1")

    with pytest.raises(DataUnavailableError) as caught:
        cifar10.load()

    assert "goldtrace data cifar10" in str(caught.value)
    assert not place.exists()


def test_a_server_that_cannot_be_reached_is_told_with_its_reason(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.delenv("GOLDTRACE_OFFLINE", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", refuse)

    with pytest.raises(DataUnavailableError, match="no route to host"):
        cifar10.load()


def test_a_network_that_never_answers_does_not_hang_the_run(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()

    def wait(*_args: object, **_options: object) -> None:
        never.wait(60)
        raise urllib.error.URLError("at last")

    monkeypatch.delenv("GOLDTRACE_OFFLINE", raising=False)
    monkeypatch.setattr(cifar10_download, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr("urllib.request.urlopen", wait)

    with pytest.raises(DataUnavailableError, match="no answer"):
        cifar10.load()
    never.set()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A CIFAR-10 archive of 21 images in torchvision's layout, served instead of the real one."""
    from torchvision.datasets import CIFAR10, utils
    from torchvision.datasets import cifar as module

    folder = tmp_path / "made" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    stream = np.random.default_rng(7)

    def batch(name: str, count: int) -> dict[str, Any]:
        images = {
            "data": stream.integers(0, 256, (count, 3072), dtype=np.uint8),
            "labels": stream.integers(0, 10, count).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(images))
        return images

    parts = [batch("data_batch_1", 7), batch("data_batch_2", 6), batch("test_batch", 8)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    packed = tmp_path / "served.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, CIFAR10.base_folder)

    def md5(path: Path) -> str:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()

    monkeypatch.setattr(
        CIFAR10,
        "train_list",
        [[name, md5(folder / name)] for name in ("data_batch_1", "data_batch_2")],
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(folder / "test_batch")]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(folder / "batches.meta")})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(packed))

    def fetched(url: str, root: str, filename: str, md5: str) -> None:
        shutil.copy(packed, Path(root) / filename)
        if not utils.check_integrity(Path(root) / filename, md5):
            raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(utils, "download_url", fetched)
    monkeypatch.setattr(cifar10_download, "_require_reachable", lambda *_: None)
    monkeypatch.delenv("GOLDTRACE_OFFLINE", raising=False)
    assert module.download_and_extract_archive.__globals__["download_url"] is fetched

    def records(*images: dict[str, Any]) -> bytes:
        return b"".join(
            bytes([label]) + pixels.tobytes()
            for part in images
            for label, pixels in zip(part["labels"], part["data"], strict=True)
        )

    return {TRAIN: records(*parts[:2]), TEST: records(parts[2])}


def manifest_of(files: dict[str, bytes]) -> Manifest:
    return Manifest(
        files={
            name: FileDigest(size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        }
    )


# Python 3.12 and 3.13 deprecate the way in which torchvision unpacks the archive, and numpy the
# alignment flag in old pickles.
unpacking = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@unpacking
def test_the_archive_is_converted_verified_and_removed(
    place: Path, archive: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (cifar10, cifar10_download):
        monkeypatch.setattr(module, "packaged_manifest", lambda _: manifest_of(archive))

    train, test = cifar10.load()

    assert {TRAIN: train, TEST: test} == archive
    assert sorted(path.name for path in place.iterdir()) == [TEST, TRAIN]


@unpacking
def test_an_archive_with_other_images_leaves_nothing_behind(
    place: Path, archive: dict[str, bytes]
) -> None:
    with pytest.raises(DataError, match="converted from CIFAR-10"):
        cifar10.load()

    assert list(place.iterdir()) == []


@unpacking
def test_a_damaged_archive_is_told_from_an_unreachable_one(
    place: Path, archive: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)

    with pytest.raises(DataError, match="not CIFAR-10"):
        cifar10.load()

    assert list(place.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, archive: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GOLDTRACE_DATA", str(tmp_path / "file" / "data"))

    with pytest.raises(DataUnavailableError, match="NotADirectoryError"):
        cifar10.load()
