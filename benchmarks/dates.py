"""Which of a project's requirements moved a run between two dates, and which release of them.

    python benchmarks/dates.py transformer --from 2025-03-01 --to today --workspace DIR --page FILE

Each end is what the requirements of pyproject.toml would have resolved to on that day. The answer
is kept as a page. Fails where a cause took more probes than promised: ⌈log₂ n⌉ + 4 beyond the ends
for each package that is named, n being the number of packages that differ.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.bisect.target import BUILT_IN, Target
from goldtrace.packages.locks import difference, read_requirements
from goldtrace.report.markdown.upstream import render_bisection_markdown
from goldtrace.report.terminal.bisection import render_bisection
from goldtrace.store.declared import load_run
from goldtrace.workflow.bisecting import bisect_pins, pins_at
from goldtrace.workflow.means import Means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.model.upgrade import Bisection
    from goldtrace.packages.locks import PackageChange

KEPT = 11 * 10**9
"""Bytes of environments: the two releases of torch that most probes need."""


def main() -> int:
    """Bisect, show, write the page; 1 where it took more probes than promised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--from", dest="first", default="2025-03-01")
    parser.add_argument("--to", dest="last", default="today")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    root = Path.cwd()
    run = BUILT_IN.get(arguments.run) or load_run(root / "golden" / arguments.run / "run.toml")
    means = Means(
        directory=arguments.workspace.absolute(),
        keep=KEPT,
        ahead=False,
        progress=lambda sentence: print(sentence, file=sys.stderr, flush=True),
    )
    lines = read_requirements(root / "pyproject.toml")
    names = (arguments.first, arguments.last)
    old, new = (pins_at(date, lines, root, means) for date in names)
    target = Target(run=run, device="cpu", root=root)
    bisection = bisect_pins(target, old, new, means, names=names)
    print(render_bisection(bisection))
    changes = difference(old, new)
    wrong = sets_tried(bisection) > allowed(bisection, changes)
    if arguments.page is not None:
        arguments.page.write_text(page(bisection, changes, names), encoding="utf-8")
    return 1 if wrong or not bisection.conclusive else 0


def sets_tried(bisection: Bisection) -> int:
    """The probes that look for packages: not the ends, and not the releases of one package."""
    named = {point.package for point in bisection.change_points}
    ends = {"the old packages", "the new packages"}
    return sum(
        probe.label not in ends and not any(probe.label.startswith(f"{name} ") for name in named)
        for probe in bisection.probes
    )


def allowed(bisection: Bisection, changes: Sequence[PackageChange]) -> int:
    """How many of those were promised."""
    members = sum(len(cause) for cause in bisection.causes)
    return members * (math.ceil(math.log2(max(2, len(changes)))) + 4)


def page(bisection: Bisection, changes: Sequence[PackageChange], names: tuple[str, str]) -> str:
    """The answer as a page of the docs."""
    made = time.strftime("%Y-%m-%d")
    tried, most = sets_tried(bisection), allowed(bisection, changes)
    listed = ", ".join(f"{c.package} {c.old or 'absent'} → {c.new or 'absent'}" for c in changes)
    return "\n".join(
        [
            f"# What moved the {bisection.target} between {names[0]} and {names[1]}",
            "",
            (
                f"Made by `make test-dates` on {made}: `goldtrace bisect {bisection.target} "
                f"--from-date {names[0]} --to-date {names[1]}` over the requirements of this "
                f"project, of which {len(changes)} packages resolve to something else on the two "
                f"days. Naming the packages took {tried} probes beyond the two ends; promised are "
                f"at most {most}. What follows is the page that `--markdown` writes."
            ),
            "",
            render_bisection_markdown(bisection),
            "## The packages that differ",
            "",
            listed + ".",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
