// Downloads of the map: SVG and PNG as drawn, CSV of the numbers behind it on a grid of weights.
const KEPT = ["fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "opacity",
  "font-size", "font-weight", "font-family", "paint-order", "text-anchor", "color"];

function saveBlob(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function mapAsSvg(panel) {
  const copy = panel.parts.svg.cloneNode(true), from = [panel.parts.svg, ...panel.parts.svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((target, i) => {
    const style = getComputedStyle(from[i]);
    KEPT.forEach((property) => target.style.setProperty(property, style.getPropertyValue(property)));
    ["tabindex", "role", "class"].forEach((name) => target.removeAttribute(name));
  });
  copy.setAttribute("width", 1040);
  copy.setAttribute("height", 930);
  copy.setAttribute("viewBox", "0 -20 520 465");
  copy.prepend(node("text", { x: 8, y: -6, "font-size": 13, "font-family": "sans-serif" }, panel.data.title));
  return new XMLSerializer().serializeToString(copy);
}

// A cell that a spreadsheet would run as a formula gets a quote in front.
function cell(value) {
  const text = String(value), safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function mapAsCsv(panel) {
  const { data, free } = panel, now = panel.weights, steps = 40, kind = data.field.kind;
  const lines = [[...data.traits, "picked", "value", "best", "gap", ...(kind === "member" ? [] : [data.field.unit])]];
  const rows = data.traits.length > 2 ? steps : 0;
  for (let a = 0; a <= steps; a++) {
    for (let c = rows ? 0 : steps - a; c <= steps - a; c++) {
      const share = rows ? [a / steps, (steps - a - c) / steps, c / steps] : [a / steps, 1 - a / steps];
      const w = fullWeights(share, now, free), pick = pickAt(data.members, data.candidates, w);
      lines.push([...w.map((x) => x.toFixed(4)), data.names[pick.member], pick.value.toFixed(6), pick.bestValue.toFixed(6),
        pick.gap.toFixed(6), ...(kind === "member" ? [] : [panel.fieldAt(w).toFixed(6)])]);
    }
  }
  return lines.map((line) => line.map(cell).join(",")).join("\n");
}

function exportMap(panel, kind) {
  const name = `${panel.data.file}.${kind.toLowerCase()}`;
  if (kind === "CSV") { saveBlob(new Blob([mapAsCsv(panel)], { type: "text/csv" }), name); return; }
  const svg = mapAsSvg(panel);
  if (kind === "SVG") { saveBlob(new Blob([svg], { type: "image/svg+xml" }), name); return; }
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
    canvas.width = 1040; canvas.height = 930;
    pen.fillStyle = getComputedStyle(panel.host.querySelector(".atlas")).getPropertyValue("--st-background-color") || "#fff";
    pen.fillRect(0, 0, 1040, 930);
    pen.drawImage(image, 0, 0);
    canvas.toBlob((blob) => saveBlob(blob, name));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
}
