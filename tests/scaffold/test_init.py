"""What ``goldtrace init`` lays down, and that it leaves alone what is there."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys

import pytest
from laid_down import contents, git

from goldtrace.errors import UsageError
from goldtrace.scaffold import Request, apply, plan
from goldtrace.store.declared import load_run

TRAINING = """
import no_such_module

def train(run, verbose=False):
    run.watch(model=None)
    for _ in range(run.config["epochs"]):
        run.step(loss=run.config.get("lr", 0.25), batch=run.config.get("sizes", [3, 5]))
    run.metric(last=run.config.get("last", 1))

def without_a_run():
    pass

def with_two(run, other):
    pass

def hands_on(run):
    train(run)
"""


@pytest.mark.parametrize("services", [(), ("--github",), ("--gitlab",), ("--github", "--gitlab")])
def test_a_second_call_changes_nothing(repository, goldtrace, services):
    assert goldtrace("init", *services)[0] == 0
    first = contents(repository)
    assert {"golden/example/run.toml", "golden_training.py", ".gitattributes"} <= set(first)
    status, shown, _ = goldtrace("init", *services)
    assert status == 0
    assert contents(repository) == first
    assert "create" not in shown
    assert "extend" not in shown
    assert "left" not in shown


def test_a_dry_run_shows_the_plan_and_writes_nothing(repository, goldtrace):
    status, shown, _ = goldtrace("init", "--github", "--dry-run")
    assert status == 0
    assert "create     .github/workflows/golden.yml" in shown
    assert contents(repository) == {}
    assert shown == goldtrace("init", "--github")[1]


def test_the_files_of_somebody_else_are_left_with_a_note(repository, goldtrace):
    mine = {
        ".gitlab-ci.yml": "test:\n  script: make test\n",
        ".gitlab/golden.yml": "mine: true\n",
        ".github/workflows/golden.yml": "name: mine\n",
        ".pre-commit-config.yaml": "repos: []\n",
        "golden_training.py": "def train(run):\n    run.step(loss=1.0)\n",
    }
    for name, text in mine.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    status, shown, _ = goldtrace("init", "--github", "--gitlab")
    assert status == 0
    for name, text in mine.items():
        assert (repository / name).read_text() == text
        assert f"left       {name} " in shown
        assert f"note: {name}: " in shown
    assert "- local: .gitlab/golden.yml" in shown
    assert "entry: goldtrace ledger --verify" in shown


def test_the_run_of_a_training_function_gets_the_settings_that_it_reads(repository, goldtrace):
    package = repository / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "vision.py").write_text(TRAINING)
    status, shown, _ = goldtrace("init", "shop.vision:train")
    assert status == 0
    assert not (repository / "golden_training.py").exists()
    text = (repository / "golden" / "vision" / "run.toml").read_text()
    assert "# epochs = …" in text
    spec = load_run(repository / "golden" / "vision" / "run.toml")
    assert spec.entry == "shop.vision:train"
    # In the order of the source, not of the syntax tree, where "last" lies higher.
    assert list(spec.config.items()) == [("lr", 0.25), ("sizes", [3, 5]), ("last", 1)]
    assert "give values under [config] to epochs" in shown
    assert "shop.vision:train lies in src/: it is found once the project is installed" in shown
    assert 'goldtrace record vision --reason "first golden"' in shown


def test_a_function_that_hands_the_run_on_is_taken_with_a_note(repository, goldtrace):
    (repository / "vision.py").write_text(TRAINING)
    status, shown, _ = goldtrace("init", "vision:hands_on", "--name", "first")
    assert status == 0
    assert load_run(repository / "golden" / "first" / "run.toml").entry == "vision:hands_on"
    assert "does not call run.step itself" in shown
    assert "lies in src/" not in shown


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("vision", "package.module:function"),
        ("../vision:train", "package.module:function"),
        ("vision:no_such", "expected: def no_such(run)"),
        ("vision:without_a_run", "found:    def without_a_run()"),
        ("vision:with_two", "found:    def with_two(run, other)"),
        ("no.such.module:train", "there is no module 'no.such.module'"),
        ("vision.deeper:train", "there is no module 'vision.deeper'"),
        ("broken:train", "the module can't be parsed"),
    ],
)
def test_an_entry_that_is_no_training_function_is_one_error(repository, goldtrace, entry, told):
    (repository / "vision.py").write_text(TRAINING)
    (repository / "broken.py").write_text("def train(run:\n")
    before = contents(repository)
    status, _, error = goldtrace("init", entry)
    assert status == 2
    assert told in error
    assert "Traceback" not in error
    assert contents(repository) == before


def test_nothing_of_torch_is_imported(repository):
    (repository / "vision.py").write_text(TRAINING)
    probe = (
        "import sys; from goldtrace.cli import main; main(['init', 'vision:train', '--github']); "
        "print(sorted({'torch', 'numpy', 'vision', 'pytest'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("git@github.com:someone/project.git", ".github/workflows/golden.yml"),
        ("https://gitlab.example.com/someone/github.git", ".gitlab/golden.yml"),
        ("ssh://git@gitlab.example.com:2222/someone/project", ".gitlab/golden.yml"),
    ],
)
def test_the_remote_tells_which_workflow_is_wanted(repository, goldtrace, url, written):
    git(repository, "remote", "add", "origin", url)
    goldtrace("init")
    both = {".github/workflows/golden.yml", ".gitlab/golden.yml"}
    assert both & set(contents(repository)) == {written}


def test_without_a_sign_of_a_service_there_is_no_workflow(repository, goldtrace):
    _, shown, _ = goldtrace("init")
    assert "--github or --gitlab does" in shown
    assert not (repository / ".github").exists()
    (repository / ".github").mkdir()
    goldtrace("init")
    assert (repository / ".github" / "workflows" / "golden.yml").exists()


def test_below_the_top_of_a_repository_there_is_no_workflow(repository, goldtrace, monkeypatch):
    (repository / "part").mkdir()
    monkeypatch.chdir(repository / "part")
    status, shown, _ = goldtrace("init", "--github")
    assert status == 0
    assert "no top directory" in shown
    assert not (repository / "part" / ".github").exists()


def test_where_there_is_no_git_the_rest_is_laid_down(tmp_path, monkeypatch, goldtrace):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    status, _, _ = goldtrace("init", "--gitlab")
    assert status == 0
    assert (tmp_path / ".gitlab" / "golden.yml").exists()


def test_no_example_is_added_to_runs_that_are_declared(repository, goldtrace):
    run = repository / "golden" / "mine" / "run.toml"
    run.parent.mkdir(parents=True)
    run.write_text('entry = "vision:train"\n')
    _, shown, _ = goldtrace("init")
    assert "runs are declared already (mine)" in shown
    assert not (repository / "golden_training.py").exists()
    assert "goldtrace record" not in shown


def test_a_name_needs_a_function(repository, goldtrace):
    status, _, error = goldtrace("init", "--name", "first")
    assert status == 2
    assert "goldtrace init package.module:function --name first" in error


def test_commands_that_come_next_are_quoted_for_a_shell(repository, goldtrace):
    _, _, error = goldtrace("init", "--name", "my first")
    assert "--name 'my first'\n" in error
    (repository / "vision.py").write_text("def train(run):\n    run.step(loss=1.0)\n")
    _, shown, _ = goldtrace("init", "vision:train", "--name", "a[1]", "--golden-dir", "g[2]")
    assert "goldtrace record 'a[1]' --golden-dir 'g[2]' --reason" in shown
    assert "pytest 'g[2]'" in shown


def test_where_there_is_no_git_repository_one_comes_before_the_commands_that_need_it(
    repository, goldtrace
):
    _, shown, _ = goldtrace("init", "--dry-run")
    assert "git init" not in shown
    shutil.rmtree(repository / ".git")
    _, shown, _ = goldtrace("init", "--dry-run")
    assert shown.index("  git init\n") < shown.index("  git config")


def test_a_command_that_comes_next_has_a_line_of_its_own(repository, goldtrace):
    _, shown, _ = goldtrace("init")
    lines = shown.partition("\nnext\n")[2].splitlines()
    assert '  goldtrace record example --reason "first golden"' in lines
    assert "  pytest golden" in lines
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("place", ["..", "/golden", "a/../b", ".", "x;y"])
def test_goldens_stay_in_the_repository(repository, goldtrace, place):
    status, _, error = goldtrace("init", "--golden-dir", place)
    assert status == 2
    assert "no place for goldens" in error
    assert contents(repository) == {}


def test_lines_are_added_to_gitattributes_and_none_is_lost(repository, goldtrace):
    path = repository / ".gitattributes"
    path.write_bytes(b"*.png binary\r\n*.txt text")
    path.chmod(0o640)
    goldtrace("init")
    assert path.read_bytes().startswith(b"*.png binary\r\n*.txt text\n\n#")
    assert path.read_text().splitlines()[-1].startswith("golden/*/*/* ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_file_that_changes_between_plan_and_apply_is_not_overwritten(repository):
    attributes = repository / ".gitattributes"
    attributes.write_text("*.png binary\n")
    planned = plan(Request(root=repository))
    attributes.write_text("*.jpg binary\n")
    with pytest.raises(UsageError, match="changed meanwhile"):
        apply(planned)
    assert attributes.read_text() == "*.jpg binary\n"


def test_a_file_that_appears_between_plan_and_apply_is_not_overwritten(repository):
    planned = plan(Request(root=repository))
    (repository / "golden_training.py").write_text("mine\n")
    with pytest.raises(UsageError, match="can't be written"):
        apply(planned)
    assert (repository / "golden_training.py").read_text() == "mine\n"


def test_the_answer_is_there_as_json(repository, goldtrace):
    _, shown, _ = goldtrace("init", "--dry-run", "--json", "-")
    document = json.loads(shown[shown.index("\n{") :])
    assert document["schema"] == 1
    actions = {change["path"]: change["action"] for change in document["changes"]}
    assert actions["golden/example/run.toml"] == "create"
    assert document["next"][0].startswith("goldtrace record example ")
