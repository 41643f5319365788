// Curves and departures, drawn by uPlot from the page's data; everything shown is put in as text.
"use strict";

const goldtrace = {};

goldtrace.element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

goldtrace.printable = (text) =>
  String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

goldtrace.number = (value) => {
  if (value === null || value === undefined) return "—";
  if (typeof value === "string") return value;
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(4) : String(Number(value.toPrecision(7)));
};

goldtrace.ulps = (value) => {
  if (value === null || value === undefined) return "—";
  if (typeof value === "string") return "no amount";
  if (value >= 1e5) return `${value.toExponential(1).replace("e+", "e")} ulp`;
  return `${value === 0 ? 0 : value < 10 ? Number(value.toPrecision(2)) : Math.round(value).toLocaleString("en")} ulp`;
};

goldtrace.charts = (() => {
  const { element, number, ulps, printable } = goldtrace;
  const drawn = [];
  const finite = (value) => (typeof value === "number" ? value : null);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const palette = ["now", "teal", "violet", "rose", "sky", "olive"];
  const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 2]];

  function curve(run, place) {
    const found = run.course.curves[place];
    const { name } = found;
    const [golden, now] = [found.golden.map(finite), found.current.map(finite)];
    const data = [found.steps, golden, now];
    const series = [
      {},
      { label: "golden", stroke: () => colour("gold"), width: 5, points: { show: false } },
      { label: "now", stroke: () => colour("now"), width: 1.75, points: { show: false } },
    ];
    const bands = [];
    const held = found.band.some((width) => typeof width === "number");
    if (held) {
      const edge = (sign) => golden.map((value, i) =>
        value === null || typeof found.band[i] !== "number" ? null : value + sign * found.band[i]);
      data.push(edge(1), edge(-1));
      const line = { stroke: () => colour("band-edge"), width: 1, dash: [3, 3], points: { show: false } };
      series.push({ ...line, label: "band" }, { ...line, label: "band" });
      bands.push({ series: [3, 4], fill: () => colour("band") });
    }
    const keys = [["golden", "line gold"], ["now", "line now"]];
    if (held) keys.push([`± ${number(run.course.band_ulp)} ulp of noise`, "area"]);
    const odd = found.current.findIndex((value) => typeof value === "string");
    return {
      title: found.rung === "loss" ? "Loss" : found.rung !== "lr" ? "Metric" : name.endsWith(".lr") ? "Learning rate" : "Hyper-parameter",
      name, keys, data, series, bands, log: false,
      warning: odd < 0 ? null : `${found.current[odd]} from step ${found.steps[odd]}`,
      tell: (i) => {
        const parts = [["golden", number(found.golden[i])], ["now", number(found.current[i])]];
        const [a, b] = [found.golden[i], found.current[i]];
        if (typeof a === "number" && typeof b === "number") {
          const off = b - a;
          parts.push(["difference", off === 0 ? "none" : `${off > 0 ? "+" : "−"}${Math.abs(off).toExponential(2)}`]);
        }
        return parts;
      },
    };
  }

  function departures(run) {
    const all = run.course.departures;
    const steps = [...new Set(all.flatMap((each) => each.steps))].sort((a, b) => a - b);
    const place = new Map(steps.map((step, i) => [step, i]));
    const exact = all.map((each) => {
      const row = steps.map(() => null);
      each.steps.forEach((step, i) => { row[place.get(step)] = each.ulp[i]; });
      return row;
    });
    // A logarithmic axis has no zero: equal values leave a gap.
    const data = [steps, ...exact.map((row) => row.map((v) => (typeof v === "number" && v > 0 ? v : null)))];
    const series = [{}, ...all.map((each, i) => ({
      label: each.quantity,
      stroke: () => colour(palette[i % palette.length]),
      width: 1.75,
      dash: dashes[i % dashes.length],
      spanGaps: true,
      points: { show: true, size: 5, fill: () => colour(palette[i % palette.length]) },
    }))];
    const calibrated = all[0].unit === "equivalent_ulp";
    return {
      title: calibrated ? "Difference in equivalent ulp" : "Difference in ulp",
      name: calibrated ? "noise in the gradients that would explain it" : "distance of the numbers themselves; not calibrated",
      keys: all.map((each, i) => [each.quantity, `line s${i % palette.length}`]),
      data, series, bands: [], log: true,
      threshold: calibrated ? run.course.band_ulp : null,
      horizon: run.course.horizon,
      warning: null,
      tell: (i) => all.map((each, k) => [each.quantity, ulps(exact[k][i])]),
    };
  }

  function marks(plot, run) {
    // Where the first divergence is, how far rounding reaches, and where the horizon ends.
    return (u) => {
      const { ctx } = u;
      const { left, top, width, height } = u.bbox;
      const scale = devicePixelRatio;
      ctx.save();
      ctx.font = `${11 * scale}px ui-sans-serif, system-ui, sans-serif`;
      ctx.lineWidth = scale;
      const vertical = (step, name, text) => {
        const x = u.valToPos(step, "x", true);
        if (x < left || x > left + width) return;
        ctx.strokeStyle = ctx.fillStyle = colour(name);
        ctx.setLineDash([4 * scale, 3 * scale]);
        ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, top + height); ctx.stroke();
        const right = x > left + width * 0.7;
        ctx.textAlign = right ? "right" : "left";
        ctx.fillText(text, x + (right ? -5 : 5) * scale, top + 11 * scale);
      };
      const first = run.first_divergence?.step;
      if (typeof first === "number") vertical(Math.max(first, 0), "drift", first < 0 ? "differs before step 0" : "first divergence");
      if (plot.log && typeof plot.horizon === "number" && plot.horizon >= 0 && plot.horizon < plot.data[0].at(-1)) vertical(plot.horizon, "muted", "horizon");
      if (plot.log && plot.threshold) {
        const y = u.valToPos(plot.threshold, "y", true);
        if (y >= top && y <= top + height) {
          ctx.strokeStyle = ctx.fillStyle = colour("rounding");
          ctx.setLineDash([2 * scale, 3 * scale]);
          ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
          ctx.textAlign = "right";
          ctx.fillText(`rounding, up to ${number(plot.threshold)} ulp`, left + width - 4 * scale, y - 5 * scale);
        }
      }
      ctx.restore();
    };
  }

  function axis(extra) {
    return {
      stroke: () => colour("muted"),
      font: "11px ui-sans-serif, system-ui, sans-serif",
      grid: { stroke: () => colour("grid"), width: 1 },
      ticks: { show: false },
      ...extra,
    };
  }

  const compact = (v, digits) => {
    if (v === null) return "";
    const size = Math.abs(v);
    if (v !== 0 && (size >= 1e5 || size < 1e-3)) return v.toExponential(digits - 3).replace(/\.?0+e/, "e").replace("e+", "e");
    return String(Number(v.toPrecision(digits)));
  };

  // As many digits as tell the ticks apart: rates differ in their fifth.
  const labels = (ticks) => {
    let told = [];
    for (let digits = 4; digits <= 9; digits += 1) {
      told = ticks.map((v) => compact(v, digits));
      const shown = told.filter((text) => text !== "");
      if (new Set(shown).size === shown.length) break;
    }
    return told;
  };

  // Whole decades around the figures and the threshold, so that a single point has a scale too.
  function decades(plot) {
    const values = plot.data.slice(1).flat().filter((v) => v !== null);
    if (plot.threshold) values.push(plot.threshold, 1);
    if (values.length === 0) values.push(1);
    return [10 ** Math.floor(Math.log10(Math.min(...values)) - 0.05), 10 ** Math.ceil(Math.log10(Math.max(...values)) + 0.05)];
  }

  function draw(figure, run) {
    const plot = figure.dataset.plot === "curve" ? curve(run, Number(figure.dataset.place)) : departures(run);
    const title = element("figcaption", {}, element("strong", {}, plot.title));
    if (plot.name.toLowerCase() !== plot.title.toLowerCase()) title.append(element("span", { class: "quiet" }, printable(plot.name)));
    const keys = element("ul", { class: "lines", "aria-label": "Legend" });
    for (const [text, kind] of plot.keys) keys.append(element("li", {}, element("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), printable(text)));
    const stage = element("div", { class: "stage", tabindex: "0", role: "application", "aria-roledescription": "plot", "aria-label": `${plot.title}, ${printable(plot.name)}: arrow keys move from step to step` });
    const readout = element("output", { class: "readout", "aria-live": "polite" });
    figure.replaceChildren(title, keys, stage, readout);
    if (plot.warning) figure.append(element("p", { class: "alarm" }, printable(plot.warning)));

    const steps = plot.data[0];
    const range = decades(plot);
    const tell = (i) => {
      readout.replaceChildren(element("b", {}, `step ${steps[i]}`));
      for (const [name, text] of plot.tell(i)) readout.append(element("span", {}, `${printable(name)} `, element("b", {}, text)));
    };
    const u = new uPlot({
      width: Math.max(stage.clientWidth, 200),
      height: 236,
      padding: [12, 10, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: `run-${run.name}-${run.device}`, setSeries: false }, drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: false, range: (_, a, b) => (a === b ? [a - 1, b + 1] : [a, b]) }, y: plot.log ? { distr: 3, range: () => range } : {} },
      axes: [
        axis({ values: (_, ticks) => ticks.map((v) => (Number.isInteger(v) ? v : "")), label: "step", labelSize: 16, labelFont: "11px ui-sans-serif, system-ui, sans-serif", size: 26 }),
        axis({ size: 58, values: (_, ticks) => labels(ticks), ...(plot.log ? { splits: () => powers(range) } : {}) }),
      ],
      series: plot.series,
      bands: plot.bands,
      hooks: {
        draw: [marks(plot, run)],
        setCursor: [(self) => { if (self.cursor.idx !== null && self.cursor.idx !== undefined) tell(self.cursor.idx); }],
      },
    }, plot.data, stage);
    tell(steps.length - 1);

    let at = steps.length - 1;
    stage.onkeydown = (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      at = Math.min(steps.length - 1, Math.max(0, (u.cursor.idx ?? at) + move));
      u.setCursor({ left: u.valToPos(steps[at], "x"), top: u.over.clientHeight / 2 });
      tell(at);
    };
    return u;
  }

  function powers([low, high]) {
    const [from, to] = [Math.log10(low), Math.log10(high)].map(Math.round);
    const stride = Math.max(1, Math.ceil((to - from) / 6));
    return Array.from({ length: Math.floor((to - from) / stride) + 1 }, (_, i) => 10 ** (from + i * stride));
  }

  function begin(figure, run) {
    const entry = { figure, run, plot: draw(figure, run) };
    drawn.push(entry);
    new ResizeObserver(() => {
      const width = figure.querySelector(".stage").clientWidth;
      if (width > 0 && Math.abs(width - entry.plot.width) > 1) entry.plot.setSize({ width, height: 236 });
    }).observe(figure);
  }

  function redraw() {
    for (const { plot } of drawn) plot.redraw(false, true);
  }

  return { begin, redraw };
})();
