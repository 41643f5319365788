"""Small packages as wheels in a simple index on disk, and a run that prints what they hold."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from golden_samples import trace

from goldtrace.errors import EntryPointError, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goldtrace.model.trace import Trace


class Index:
    """A simple index (PEP 503) in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def add(
        self,
        name: str,
        version: str,
        code: str,
        *,
        requires: Sequence[str] = (),
        yanked: bool = False,
        damaged: bool = False,
        starts: str | None = None,
        tag: str = "py3-none-any",
    ) -> None:
        """A wheel with one module ``name``; a damaged one resolves and can't be installed.

        ``starts`` are lines of a ``.pth`` file, which every interpreter reads as it starts;
        ``tag`` says which interpreters and platforms can install the wheel.
        """
        wheel = f"{name}-{version}-{tag}.whl"
        info = f"{name}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        files = {
            f"{name}.py": code,
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        if starts is not None:
            files[f"{name}.pth"] = starts
        record = "".join(f"{file},,\n" for file in files)
        files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
        project = self.folder / name.replace("_", "-")
        project.mkdir(exist_ok=True)
        with zipfile.ZipFile(project / wheel, "w") as archive:
            for file, text in files.items():
                archive.writestr(file, text)
        # A separate metadata file (PEP 658) lets even a damaged wheel be resolved.
        (project / f"{wheel}.metadata").write_text(metadata)
        content = (project / wheel).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if damaged:
            (project / wheel).write_bytes(content.replace(code.encode(), b"#" * len(code)))
        attributes = ' data-yanked="broken"' if yanked else ""
        attributes += (
            f' data-dist-info-metadata="sha256={hashlib.sha256(metadata.encode()).hexdigest()}"'
        )
        page = project / "index.html"
        before = page.read_text().removesuffix("</body>") if page.exists() else "<body>"
        page.write_text(
            f'{before}<a href="{wheel}#sha256={digest}"{attributes}>{wheel}</a>\n</body>'
        )


@dataclass
class PrintedRun:
    """Stands for a run: what the packages print becomes its losses."""

    root: Path
    modules: tuple[str, ...]
    name: str = "fake"
    run: str = "fake"
    device: str = "cpu"
    trained: list[str] = field(default_factory=list)

    def question(self) -> dict[str, Any]:
        return {"modules": list(self.modules)}

    def train(self, interpreter: Path) -> Trace:
        code = "; ".join(f"import {name}; print({name}.VALUE)" for name in self.modules)
        done = subprocess.run(
            [interpreter, "-c", code], capture_output=True, text=True, check=False
        )
        self.trained.append(done.stdout)
        if "ImportError" in done.stderr:
            raise EntryPointError("can't be imported", found=done.stderr.splitlines()[-1])
        if done.returncode != 0:
            raise RunError("the entry point raised", found=done.stderr.splitlines()[-1])
        return trace(losses=tuple(map(float, done.stdout.split())))
