"""A report's file is the old one or the new one, never half of it."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from goldtrace.cli.options import write_json
from goldtrace.errors import UsageError
from goldtrace.report.folder import make_folder, write_report
from goldtrace.report.writing import replace_text

if TYPE_CHECKING:
    from pathlib import Path


def test_a_reader_of_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    write_report(tmp_path, {"schema": 1, "runs": []}, root=tmp_path)
    write_json(tmp_path / "answer.json", {"old": True})
    names = [path.name for path in sorted(tmp_path.iterdir())]
    for name in names:
        old = (tmp_path / name).read_text(encoding="utf-8")
        with (tmp_path / name).open(encoding="utf-8") as reader:
            write_report(tmp_path, {"schema": 1, "runs": []}, root=tmp_path)
            write_json(tmp_path / "answer.json", {"old": False})
            assert os.fstat(reader.fileno()).st_nlink == 0  # replaced, not written over
            assert reader.read() == old
    assert [path.name for path in sorted(tmp_path.iterdir())] == names


def test_a_link_and_the_permissions_of_a_file_stay(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o640)
    (tmp_path / "link").symlink_to("file")
    replace_text(tmp_path / "link", "lone surrogate \ud800")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "lone surrogate \\ud800"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text("utf-8")))
    reader.start()
    replace_text(tmp_path / "pipe", "answer")
    reader.join()
    assert read == ["answer"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_what_cannot_be_written_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "answer.json"):
        with pytest.raises(UsageError, match="can't be written"):
            write_json(path, {})
    with pytest.raises(UsageError, match="the report can't be written"):
        make_folder(tmp_path / "file" / "report")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
