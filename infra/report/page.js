"use strict";
(async () => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    // No expression becomes code: the page forbids that.
    ast: true,
    defaultStyle: false,
    tooltip: { theme: "leadstream", disableDefaultStyle: true },
  };
  // A finger does not hover: what it touches tells its figures until it touches something else.
  let told = null;
  document.addEventListener("click", ({ target, clientX, clientY }) => {
    told?.dispatchEvent(new PointerEvent("pointerout", { bubbles: true }));
    told = target.closest(".vega") && target;
    told?.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX, clientY }));
  });
  let failed = 0;
  for (const [name, spec] of Object.entries(charts)) {
    const place = document.getElementById(`chart-${name}`);
    try {
      await vegaEmbed(place, spec, options);
    } catch (error) {
      failed += 1;
      console.error(`chart ${name}`, error);
      place.textContent = "This chart cannot be drawn here; its figures are in the table.";
    }
  }
  document.documentElement.dataset.charts = failed ? "failed" : "drawn";
})();
