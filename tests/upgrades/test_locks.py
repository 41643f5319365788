"""Reading lock files and the difference of two."""

from __future__ import annotations

import subprocess
from functools import partial

import pytest

from goldtrace.errors import UsageError
from goldtrace.packages.locks import PackageChange, difference, read_lock, read_requirements

HASHED = """\
# made by a tool
alpha==1.0 ; python_version >= '3.9' \\
    --hash=sha256:0011 \\
    --hash=sha256:2233
Beta_Two[extra]==2.0  # via alpha
gone==9 ; sys_platform == 'nowhere'
-e file:///somewhere/project
project @ file:///somewhere/else
--index-url https://example.org/simple
goldtrace==0.1.0
"""


@pytest.fixture
def lock(tmp_path):
    def write(text, name="requirements.lock"):
        (tmp_path / name).write_text(text)
        return read_lock(name, root=tmp_path)

    return write


def test_hashes_markers_comments_and_options_are_understood(lock):
    assert lock(HASHED) == {"alpha": "1.0", "beta-two": "2.0"}


def test_a_freeze_with_a_local_version_is_understood(lock):
    assert lock("torch==2.4.0+cpu\nnumpy==1.26.4\n") == {"torch": "2.4.0+cpu", "numpy": "1.26.4"}


@pytest.mark.parametrize(
    "line", ["alpha", "alpha>=1", "alpha==1.*", "alpha==1,<2", "alpha @ https://example.org/a.whl"]
)
def test_a_line_that_is_not_pinned_is_named(lock, line):
    with pytest.raises(UsageError, match=r"requirements\.lock:2"):
        lock(f"beta==1\n{line}\n")


def test_uv_and_pylock_files_are_understood(lock):
    uv = '[[package]]\nname = "a"\nversion = "1"\n\n[[package]]\nname = "me"\nversion = "0"\n'
    assert lock(uv + 'source = { editable = "." }\n', "uv.lock") == {"a": "1"}
    pylock = '[[packages]]\nname = "A.b"\nversion = "1"\nmarker = "python_version < \'3\'"\n'
    with pytest.raises(UsageError, match="no locked packages"):
        lock(pylock, "pylock.toml")
    with pytest.raises(UsageError, match="several releases"):
        lock(uv + '[[package]]\nname = "a"\nversion = "2"\n', "uv.lock")


def test_a_revision_of_a_lock_is_read_from_git(tmp_path, lock):
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    lock("alpha==1\n")
    subprocess.run([*git, "add", "-A"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-qm", "x"], cwd=tmp_path, check=True)
    assert lock("alpha==2\n") == {"alpha": "2"}
    assert read_lock("HEAD:requirements.lock", root=tmp_path) == {"alpha": "1"}
    with pytest.raises(UsageError, match="no such file"):
        read_lock("HEAD:other.lock", root=tmp_path)


def test_the_difference_has_what_computes_first_and_equal_versions_not_at_all():
    old = {"zeta": "1", "torch": "2.4.0", "same": "1.0", "left": "1"}
    new = {"zeta": "2", "torch": "2.5.0", "same": "1.0.0", "came": "1"}
    assert difference(old, new) == (
        PackageChange(package="torch", old="2.4.0", new="2.5.0"),
        PackageChange(package="came", old=None, new="1"),
        PackageChange(package="left", old="1", new=None),
        PackageChange(package="zeta", old="1", new="2"),
    )


def test_requirements_come_from_a_project_or_a_list(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "x"\ndependencies = ["alpha>=1", "beta"]\n')
    assert read_requirements(project) == ("alpha>=1", "beta")
    listed = tmp_path / "requirements.in"
    listed.write_text("# ours\nalpha>=1\n-r other.in\n")
    assert read_requirements(listed) == ("alpha>=1",)
    project.write_text('[project]\nname = "x"\n')
    with pytest.raises(UsageError, match="no requirements"):
        read_requirements(project)


def test_an_include_is_named_instead_of_passed_over(tmp_path):
    (tmp_path / "a.lock").write_text("-r other.lock\nnumpy==2.0.0\n")
    with pytest.raises(UsageError, match="includes another one") as raised:
        read_lock("a.lock", root=tmp_path)
    assert raised.value.where == "a.lock:1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[project\n"),
        ("uv.lock", "[[package]]\nversion = '1'\n"),
        ("uv.lock", "[[package]]\nname = 'a'\nversion = '1'\nmarker = 'no marker'\n"),
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    project = name == "pyproject.toml"
    read = read_requirements if project else partial(read_lock, root=tmp_path)
    with pytest.raises(UsageError) as raised:
        read(tmp_path / name if project else name)
    assert name in raised.value.where
