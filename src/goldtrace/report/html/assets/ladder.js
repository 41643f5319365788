// The ladder: steps side by side, rungs in causal order, one cell each; and what a cell stands for.
"use strict";

goldtrace.ladder = (() => {
  const { element, printable, ulps } = goldtrace;
  const words = {
    same: "same bits",
    tolerated: "differs within tolerance",
    differs: "differs",
    "one-sided": "recorded on one side only",
    absent: "not recorded",
  };
  const when = (step) => (step === null ? "the end" : step < 0 ? "before step 0" : `step ${step}`);
  const shown = (value) => {
    if (value === null) return "none";
    const text = printable(value);
    return /^[0-9a-f]{24,}$/.test(text) ? `${text.slice(0, 12)}…` : text;
  };

  function begin(card, run) {
    const { steps, ladder } = run.course;
    const detail = card.querySelector(".detail");
    const grid = element("div", { class: "grid", role: "grid", "aria-label": "Ladder: a row a rung, a column a step" });
    grid.style.setProperty("--columns", steps.length);
    const first = run.first_divergence;
    const cells = [];

    const head = element("div", { class: "row", role: "row" }, element("span", { class: "rung", role: "columnheader" }, element("span", { class: "sr" }, "rung")));
    steps.forEach((step, column) => {
      const label = step < 0 ? "start" : step % 5 === 0 ? String(step) : "";
      head.append(element("span", { class: "step", role: "columnheader" }, element("span", { class: "sr" }, label ? "" : when(step)), label));
    });
    grid.append(head);

    ladder.forEach(({ rung, cells: states }, y) => {
      const row = element("div", { class: "row", role: "row" }, element("span", { class: "rung", role: "rowheader" }, rung));
      cells.push(states.map((state, x) => {
        const isFirst = first !== null && first.step === steps[x] && first.rung === rung;
        const cell = element("button", {
          type: "button", role: "gridcell", tabindex: "-1", "aria-selected": "false",
          class: `cell ${state}${isFirst ? " first" : ""}`,
          "aria-label": `${when(steps[x])}, ${rung}: ${words[state]}${isFirst ? ", the first divergence" : ""}`,
        });
        cell.addEventListener("focus", () => select(x, y));
        cell.addEventListener("click", () => { cell.focus(); select(x, y); });
        row.append(cell);
        return cell;
      }));
      grid.append(row);
    });

    let chosen = null;
    function select(x, y) {
      if (chosen) { chosen.tabIndex = -1; chosen.setAttribute("aria-selected", "false"); }
      chosen = cells[y][x];
      chosen.tabIndex = 0;
      chosen.setAttribute("aria-selected", "true");
      tell(x, y);
    }

    grid.addEventListener("keydown", (event) => {
      const y = cells.findIndex((row) => row.includes(document.activeElement));
      if (y < 0) return;
      const x = cells[y].indexOf(document.activeElement);
      const to = {
        ArrowRight: [x + 1, y], ArrowLeft: [x - 1, y], ArrowDown: [x, y + 1], ArrowUp: [x, y - 1],
        Home: [0, y], End: [steps.length - 1, y],
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      cells[to[1]]?.[to[0]]?.focus();
    });

    function tell(x, y) {
      const [step, rung, state] = [steps[x], ladder[y].rung, ladder[y].cells[x]];
      const found = run.divergences.filter((each) => each.step === step && each.rung === rung);
      const isFirst = first !== null && first.step === step && first.rung === rung;
      const parts = [element("h4", {}, element("span", { class: `cell ${state}`, "aria-hidden": "true" }), `${when(step)} · ${rung}`, element("span", { class: "quiet" }, words[state]))];
      if (isFirst) parts[0].append(element("span", { class: "tag hot" }, "first divergence"));
      if (found.length > 0) parts.push(table(found));
      else if (state === "differs" || state === "tolerated") parts.push(element("p", { class: "quiet" }, "Too many differences to list each: this one was left out."));
      const culprits = run.diagnosis && isFirst ? run.diagnosis.culprits : [];
      if (culprits.length > 0) parts.push(operators(culprits));
      detail.replaceChildren(...parts);
    }

    card.querySelector(".ladder").replaceChildren(grid);
    const y = first === null ? 0 : Math.max(0, ladder.findIndex((each) => each.rung === first.rung));
    const x = first === null ? 0 : Math.max(0, steps.indexOf(first.step));
    select(x, y);
    // The grid may be wider than the screen: the first divergence is what one came for.
    const scroller = card.querySelector(".ladder");
    const wanted = cells[y][x].offsetLeft - scroller.clientWidth / 2;
    if (first !== null && wanted > 0) scroller.scrollLeft = wanted;
  }

  function table(found) {
    const body = element("tbody");
    for (const each of found.slice(0, 40)) {
      const far = [each.ulp === null ? "" : ulps(each.ulp), each.note === null ? "" : printable(each.note)].filter(Boolean).join(" · ");
      body.append(element("tr", {},
        element("th", { scope: "row" }, element("code", {}, printable(each.name))),
        element("td", {}, element("code", { class: "was" }, shown(each.golden))),
        element("td", {}, element("code", { class: "is" }, shown(each.current))),
        element("td", { class: "quiet" }, far)));
    }
    const head = element("thead", {}, element("tr", {}, ...["name", "golden", "now", "how far"].map((text) => element("th", { scope: "col" }, text))));
    const parts = [element("table", { class: "changes" }, head, body)];
    if (found.length > 40) parts.push(element("p", { class: "quiet" }, `and ${found.length - 40} more`));
    return element("div", { class: "scroll" }, ...parts);
  }

  function operators(culprits) {
    const list = element("ol", { class: "operators" });
    for (const each of culprits.slice(0, 8)) {
      const place = [each.phase, each.module, each.line].filter(Boolean).map(printable).join(" · ");
      list.append(element("li", {}, element("code", {}, printable(each.op)), element("span", { class: "tag" }, each.class), element("span", {}, printable(each.what)), element("span", { class: "quiet" }, place)));
    }
    return element("div", {}, element("h5", {}, "Operators that gave, or were given, something else"), list);
  }

  return { begin };
})();
