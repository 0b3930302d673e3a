// Saves the image of a chart in one click: the chart's own camera, pressed from here.
const KINDS = ["svg", "png"];

function save(chart, kind) {
  const place = document.querySelector(`.st-key-${CSS.escape(chart)}`);
  const figure = place?.querySelector(".js-plotly-plot");
  const camera = place?.querySelector('[data-attr="toImage"], [data-title^="Download plot"]');
  if (!figure || !camera) return;
  figure._context.toImageButtonOptions.format = kind;
  camera.click();
}

export default function ({ parentElement, data }) {
  if (parentElement.querySelector("button")) return;
  const row = document.createElement("div");
  row.style.cssText = "display: flex; gap: 0.5rem";
  for (const kind of KINDS) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Image as ${kind.toUpperCase()}`;
    button.style.cssText =
      "font: inherit; color: inherit; background: none; padding: 0.4rem 0.75rem;" +
      "border: 1px solid var(--st-border-color, currentColor); border-radius: 0.5rem; cursor: pointer";
    button.addEventListener("click", () => save(data.chart, kind));
    row.append(button);
  }
  parentElement.append(row);
}
