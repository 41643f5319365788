"""The pictures of the HTML report in docs/images: real runs, real differences, a real bisection.

``python benchmarks/gallery/make.py [--work DIR]`` trains in DIR (about ten minutes; documents that
are there already are kept), renders each document with goldtrace and photographs the pages in
headless Chromium, in light and dark, for a desk and for a phone. It needs ``make test-browser``'s
packages, and a Chromium at ``$CHROMIUM`` or /usr/bin/chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from goldtrace.report.html import render_html

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "docs" / "images"
CONFIG = {"eps": "1e-5", "mean": "false", "learning_rate": "0.05"}
RATES = {"language": "0.002", "packaged": "0.003"}
NORM = """
import torch

class Norm(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(size))

    def forward(self, x):
        return {body} * self.weight
"""
BEFORE = "x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()"
AFTER = "x / (x.square().mean(-1, keepdim=True).sqrt() + 1e-6)"
RELEASES = 12
CHANGED = 8  # the release whose normalisation is another one
BROKEN = 6  # a release that can't be imported
SCENES = {
    # name: (document, theme, width, height, what to bring into view)
    "report-pass": ("pass", "light", 1280, 1150, None),
    "report-rounding": ("rounding", "light", 1280, 1560, None),
    "report-drift": ("drift", "light", 1280, 1500, None),
    "report-drift-dark": ("drift", "dark", 1280, 1500, None),
    "report-ladder": ("drift", "dark", 1280, 1200, ".ladder-card"),
    "report-phone": ("drift", "light", 390, 1500, None),
    "report-bisection": ("bisection", "light", 1280, 800, None),
    "report-bisection-dark": ("bisection", "dark", 1280, 800, None),
}


def main() -> int:
    """Train what isn't there, render, photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "gallery")
    parser.add_argument("--only-train", action="store_true")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "training.py", work)
    train(work)
    if not arguments.only_train:
        photograph(work)
    return 0


def train(work: Path) -> None:
    """Write pass.json, rounding.json, drift.json and bisection.json into ``work``."""
    declare(work, "vision")
    declare(work, "language")
    for name in ("vision", "language"):
        if not (work / "golden" / name / "cpu-portable" / "calibration.json").exists():
            goldtrace(work, "record", name, "--reason", "the first golden of the gallery")
    check(work, "pass", "vision", "language")
    declare(work, "vision", mean="true")
    check(work, "rounding", "vision")
    declare(work, "vision", eps="1e-4")
    declare(work, "language", learning_rate="0.002002")
    check(work, "drift", "vision", "language")
    bisect(work)


def check(work: Path, document: str, *names: str) -> None:
    """One check, whose document is kept."""
    if not (work / f"{document}.json").exists():
        goldtrace(work, "check", *names, "--json", f"{document}.json")


def bisect(work: Path) -> None:
    """A bisection over a package that is made here: twelve releases, one broken, one changed."""
    if (work / "bisection.json").exists():
        return
    wheels = work / "wheels"
    wheels.mkdir(exist_ok=True)
    for number in range(1, RELEASES + 1):
        body = NORM.format(body=BEFORE if number < CHANGED else AFTER)
        wheel(wheels, f"0.{number}", "import nowhere" if number == BROKEN else body)
    declare(work, "packaged")
    span = ("--from", "0.1", "--to", f"0.{RELEASES}")
    goldtrace(
        work,
        *("bisect", "packaged", "--package", "tinynorm", *span),
        *("--json", "bisection.json", "--workspace", str(work / "workspace"), "--no-ahead"),
        UV_FIND_LINKS=str(wheels),
    )


def wheel(folder: Path, version: str, code: str) -> None:
    """A pure Python wheel with one module."""
    info = f"tinynorm-{version}.dist-info"
    files = {
        "tinynorm.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinynorm\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"tinynorm-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def declare(work: Path, name: str, **changes: str) -> None:
    """Write the run's ``run.toml``."""
    config = {**CONFIG, "learning_rate": RATES.get(name, CONFIG["learning_rate"]), **changes}
    path = work / "golden" / name / "run.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'entry = "training:{name}"', "seed = 7", "", "[config]"]
    path.write_text("\n".join([*lines, *(f"{k} = {v}" for k, v in config.items()), ""]))


def goldtrace(work: Path, *arguments: str, **variables: str) -> None:
    """Run a command; a difference that was found is what is wanted here."""
    command = [sys.executable, "-m", "goldtrace.cli", *arguments]
    done = subprocess.run(command, cwd=work, env={**os.environ, **variables}, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")


def photograph(work: Path) -> None:
    """Every scene as a PNG in docs/images."""
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(exist_ok=True)
    for document in {scene[0] for scene in SCENES.values()}:
        values = json.loads((work / f"{document}.json").read_text())
        (work / f"{document}.html").write_text(render_html(values))
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (document, theme, width, height, selector) in SCENES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                offline=True,
            )
            page = context.new_page()
            page.goto((work / f"{document}.html").as_uri())
            page.wait_for_selector(".u-over, .path")
            path = IMAGES / f"{name}.png"
            if selector is None:
                page.wait_for_timeout(500)
                page.screenshot(path=path)
            else:
                page.locator(selector).first.scroll_into_view_if_needed()
                page.wait_for_timeout(500)
                page.locator(selector).first.screenshot(path=path)
            context.close()
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    raise SystemExit(main())
