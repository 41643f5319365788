from __future__ import annotations

import importlib
import random
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from goldtrace.determinism import imports_draw_nothing, rng_states

DRAWS = """
import random, numpy, torch
torch.manual_seed(3)
numbers = random.random(), float(numpy.random.rand()), float(torch.rand(()))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "drawing_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(DRAWS)
    (folder / "waiting.py").write_text("import gate\ngate.begun.set()\ngate.open.wait(60)\n")
    (folder / "inner.py").write_text(DRAWS + "from drawing_package import numbers as outer\n")
    (folder / "broken.py").write_text(DRAWS + "raise ValueError('no')\n")
    (folder / "setting.py").write_text(
        "import numpy\nnumpy.random.set_bit_generator(numpy.random.PCG64(1))\n" + DRAWS
    )
    (folder / "data.txt").write_text("data")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "drawing_package"
    for name in [name for name in sys.modules if name.startswith("drawing_package")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _streams():
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    kind = np.random.get_bit_generator()
    yield
    random.setstate(kept[0])
    np.random.set_bit_generator(kind)
    np.random.set_state(kept[1])  # noqa: NPY002 - the legacy generator is what is tested
    torch.set_rng_state(kept[2])


@pytest.mark.parametrize(
    "name", ["drawing_package", "drawing_package.inner", "drawing_package.setting"]
)
def test_a_module_that_draws_when_it_is_imported_leaves_the_streams_alone(package, name):
    before = rng_states()
    with imports_draw_nothing():
        module = importlib.import_module(name)
    assert module.numbers
    assert rng_states() == before


def test_a_module_whose_import_fails_leaves_the_streams_alone(package):
    before = rng_states()
    with imports_draw_nothing(), pytest.raises(ValueError, match="no"):
        importlib.import_module(f"{package}.broken")
    assert rng_states() == before


def test_what_is_drawn_while_nothing_is_imported_counts(package):
    before = rng_states()
    with imports_draw_nothing():
        importlib.import_module(package)
        random.random()  # noqa: S311 - no secret
    assert rng_states()["python"] != before["python"]


def test_an_import_in_another_thread_does_not_undo_what_is_drawn_meanwhile(package, monkeypatch):
    gate = SimpleNamespace(begun=threading.Event(), open=threading.Event())
    monkeypatch.setitem(sys.modules, "gate", gate)
    before = rng_states()
    with imports_draw_nothing():
        other = threading.Thread(target=importlib.import_module, args=[f"{package}.waiting"])
        other.start()
        assert gate.begun.wait(60)
        random.random()  # noqa: S311 - no secret
        np.random.rand()  # noqa: NPY002 - the legacy generator is what is tested
        torch.rand(())
        drawn = rng_states()
        gate.open.set()
        other.join(60)
    assert rng_states() == drawn
    assert all(drawn[name] != before[name] for name in ("python", "numpy", "torch"))


def test_the_module_knows_its_own_loader_and_its_data(package):
    with imports_draw_nothing():
        module = importlib.import_module(package)
    assert type(module.__spec__.loader).__name__ == "SourceFileLoader"
    assert module.__loader__ is module.__spec__.loader
    assert importlib.import_module("importlib.resources").files(package).joinpath(
        "data.txt"
    ).read_text() == ("data")


def test_afterwards_imports_are_as_before(package):
    finders = list(sys.meta_path)
    with imports_draw_nothing():
        assert len(sys.meta_path) == len(finders) + 1
    assert sys.meta_path == finders


def test_a_module_that_is_not_there_is_the_usual_error():
    with imports_draw_nothing(), pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        importlib.import_module("nowhere_at_all")


def test_it_can_be_the_first_to_import_numpys_generators():
    code = (
        "from goldtrace.determinism import imports_draw_nothing\n"
        "with imports_draw_nothing():\n"
        "    import numpy.random\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
