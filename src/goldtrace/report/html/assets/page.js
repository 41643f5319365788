// Begin when a run comes into view, copy commands, follow the colour scheme.
"use strict";

(() => {
  const runs = JSON.parse(document.getElementById("data").textContent);
  const begun = new WeakSet();
  const begin = (article) => {
    const run = runs[Number(article.dataset.run)];
    if (begun.has(article) || !run?.course) return;
    begun.add(article);
    for (const figure of article.querySelectorAll("[data-plot]")) goldtrace.charts.begin(figure, run);
    const card = article.querySelector(".ladder-card");
    if (card) goldtrace.ladder.begin(card, run);
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) begin(entry.target);
  }, { rootMargin: "600px" });
  for (const article of document.querySelectorAll("[data-run]")) seen.observe(article);
  addEventListener("beforeprint", () => document.querySelectorAll("[data-run]").forEach(begin));

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", goldtrace.charts.redraw);
})();
