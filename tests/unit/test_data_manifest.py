"""Manifests: what they accept, and what they say about data that is not what they list."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from goldtrace.errors import DataError
from goldtrace.reference.manifest import (
    FileDigest,
    describe,
    packaged_manifest,
    parse_manifest,
    verify,
    verify_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "b.bin").write_bytes(b"second")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.bin").write_bytes(b"")
    (tmp_path / "a.bin").write_bytes(bytes(3_000_000))
    return tmp_path


def test_describing_and_verifying_a_directory_agree(data: Path) -> None:
    manifest = describe(data)

    assert verify(data, manifest)["b.bin"] == hashlib.sha256(b"second").hexdigest()
    assert manifest.files["a/z.bin"].size == 0


def test_files_are_listed_in_sorted_order_whatever_the_file_system_says(data: Path) -> None:
    assert list(describe(data).files) == ["a.bin", "a/z.bin", "b.bin"]


def test_a_manifest_survives_being_written_and_read(data: Path) -> None:
    manifest = describe(data)

    again = parse_manifest(manifest.to_json(), where="manifest.json")

    assert again == manifest
    assert again.to_json() == manifest.to_json()


def test_a_wrong_byte_names_the_file_the_expected_and_the_found_digest(data: Path) -> None:
    manifest = describe(data)
    content = bytearray((data / "a.bin").read_bytes())
    content[1_234_567] ^= 1
    (data / "a.bin").write_bytes(content)

    with pytest.raises(DataError) as caught:
        verify(data, manifest)

    assert caught.value.where == str(data / "a.bin")
    assert manifest.files["a.bin"].sha256 in str(caught.value)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)


def test_a_truncated_file_tells_both_sizes(data: Path) -> None:
    manifest = describe(data)
    (data / "b.bin").write_bytes(b"secon")

    with pytest.raises(DataError, match="wrong size") as caught:
        verify(data, manifest)

    assert "expected: 6 bytes" in str(caught.value)
    assert "found:    5 bytes" in str(caught.value)


def test_a_missing_file_is_named(data: Path) -> None:
    manifest = describe(data)
    (data / "b.bin").unlink()

    with pytest.raises(DataError, match=r"b\.bin: data file cannot be read"):
        verify(data, manifest)


def test_a_directory_in_the_place_of_a_file_is_an_error_and_not_a_crash(data: Path) -> None:
    manifest = describe(data)
    (data / "b.bin").unlink()
    (data / "b.bin").mkdir()

    with pytest.raises(DataError, match="cannot be read"):
        verify(data, manifest)


def test_a_file_that_is_not_listed_does_not_matter(data: Path) -> None:
    manifest = describe(data)
    (data / "notes.txt").write_text("mine")

    verify(data, manifest)


def test_bytes_in_memory_are_held_against_an_entry() -> None:
    entry = FileDigest(size=2, sha256=hashlib.sha256(b"ab").hexdigest())

    assert verify_bytes(b"ab", entry, where="x") == b"ab"
    with pytest.raises(DataError, match=r"x: data file does not match its manifest"):
        verify_bytes(b"ac", entry, where="x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema": 1}',
        '{"files": [], "schema": 1}',
        '{"files": {"a": {"size": 1}}, "schema": 1}',
        '{"files": {"a": {"sha256": "00", "size": 1}}, "schema": 1}',
        '{"files": {"a": {"sha256": 7, "size": 1}}, "schema": 1}',
    ],
)
def test_what_is_no_manifest_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(DataError, match=r"^m\.json: not a data manifest"):
        parse_manifest(text, where="m.json")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x"])
def test_a_path_that_leaves_the_directory_is_refused(name: str) -> None:
    entry = {"sha256": "0" * 64, "size": 0}
    text = json.dumps({"files": {name: entry}, "schema": 1})

    with pytest.raises(DataError, match="leaves the directory"):
        parse_manifest(text, where="m.json")


def test_a_newer_manifest_says_to_upgrade() -> None:
    with pytest.raises(DataError) as caught:
        parse_manifest('{"files": {}, "schema": 2}', where="m.json")

    assert caught.value.hint == "upgrade goldtrace"


@pytest.mark.parametrize("name", ["cifar10", "synthetic", "strides"])
def test_packaged_manifests_are_written_as_goldtrace_writes_them(name: str) -> None:
    manifest = packaged_manifest(name)

    assert len(manifest.files) == 2
    assert parse_manifest(manifest.to_json(), where=name) == manifest


def test_other_projects_can_verify_their_data_without_importing_torch() -> None:
    code = "import sys, goldtrace.reference.manifest; print('torch' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert result.stdout.strip() == b"False"
