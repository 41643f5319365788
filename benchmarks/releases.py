"""Every release of a package, one after the other, and the bisection held against that.

    python benchmarks/releases.py operators transformer --workspace DIR --out FILE.json

Each release is compared with the one before it: the environments of both stand side by side (5 GB
each for torch) while the next one is built. A change is trained again, diagnosed, and its culprit
is called by itself under both. Then each run is bisected over all releases with every change point
asked for. It must find what the neighbours show, within the promised number of probes, name the
same operators, and answer from its cache in under five seconds.

What was found is kept in the workspace: a second call goes on where the first one stopped.
``make test-releases`` runs it and keeps the answer as a page of the docs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from releasing.bisection import bisect_all, problems
from releasing.neighbours import Releases, compare_neighbours, operators_changed
from releasing.page import page

from goldtrace.bisect.target import BUILT_IN, Target
from goldtrace.environment import revision
from goldtrace.packages.releases import releases as existing
from goldtrace.store.declared import load_run
from goldtrace.workflow.bisecting import machine
from goldtrace.workflow.means import Means

KEPT = 17 * 10**9
"""Bytes of environments: two releases of torch, and the one that is being built."""


def main() -> int:
    """Train everywhere, bisect, write what was found; 1 where something isn't as promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--package", default="torch")
    parser.add_argument("--from", dest="first", default="2.4.0")
    parser.add_argument("--to", dest="last", default="2.15.0")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="write the result as a page of the docs")
    arguments = parser.parse_args()
    root = Path.cwd()
    targets = [
        Target(
            run=BUILT_IN.get(run) or load_run(root / "golden" / run / "run.toml"),
            device="cpu",
            root=root,
        )
        for run in arguments.runs
    ]
    means = Means(
        directory=arguments.workspace.absolute(),
        keep=KEPT,
        cache=False,
        ahead=False,
        progress=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    )
    package = arguments.package
    versions = existing(means.uv(root), package, first=arguments.first, last=arguments.last)
    releases = Releases(package=package, versions=versions, means=means)
    found = compare_neighbours(targets, releases)
    document: dict[str, Any] = {
        "package": package,
        "machine": machine(),
        "revision": commit(root),
        "versions": versions,
        "runs": {
            target.name: {
                "neighbours": found[target.name],
                "bisection": bisect_all(target, releases, found[target.name]),
            }
            for target in targets
        },
    }
    for target in targets:
        if target.name == "operators":
            usable = found[target.name]["usable"]
            document["operators"] = operators_changed(target, releases, usable)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if arguments.page is not None:
        arguments.page.write_text(page(document), encoding="utf-8")
    wrong = problems(document)
    print("\n".join(wrong) or "all as promised")
    return 1 if wrong else 0


def commit(root: Path) -> str:
    """The commit that the runs and goldtrace itself come from."""
    state = revision(root)
    return "an unknown commit" if state is None else f"commit {state.commit[:10]}"


if __name__ == "__main__":
    sys.exit(main())
