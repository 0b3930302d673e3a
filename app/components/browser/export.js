// Downloads of map and trait bars: SVG and PNG, and the numbers behind them as CSV (the map's on a grid of weights).
const KEPT = [
  "fill",
  "fill-opacity",
  "stroke",
  "stroke-opacity",
  "stroke-width",
  "stroke-dasharray",
  "opacity",
  "font-size",
  "font-weight",
  "font-family",
  "paint-order",
  "text-anchor",
  "color",
];

function saveBlob(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// The theme's colours: an image shows its text on the ground that it was made for.
function inkAndPaper(panel) {
  const style = getComputedStyle(panel.host.querySelector(".atlas"));
  return {
    ink: style.color,
    paper: style.getPropertyValue("--st-background-color").trim() || "#fff",
  };
}

// What stands under the map on the page: members with their colours, and what else is drawn.
function legendOfMap(panel, ink) {
  const nodes = [],
    text = { "font-family": "sans-serif", "font-size": 11, fill: ink };
  let x = 8,
    y = 462;
  for (const span of panel.parts.legend.children) {
    const colour = span.style.getPropertyValue("--c"),
      dot = colour === "transparent" ? 0 : 14,
      width = dot + 6.2 * span.textContent.length + 14;
    if (!span.textContent) continue;
    if (x > 8 && x + width > 512) {
      x = 8;
      y += 17;
    }
    if (dot) nodes.push(node("rect", { x, y: y - 9, width: 10, height: 10, fill: colour }));
    nodes.push(node("text", { ...text, x: x + dot, y }, span.textContent));
    x += width;
  }
  return { nodes, height: nodes.length ? y - 436 : 0 };
}

function mapAsSvg(panel) {
  const copy = panel.parts.svg.cloneNode(true),
    from = [panel.parts.svg, ...panel.parts.svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((target, i) => {
    const style = getComputedStyle(from[i]);
    for (const property of KEPT) {
      target.style.setProperty(property, style.getPropertyValue(property));
    }
    for (const name of ["tabindex", "role", "class"]) target.removeAttribute(name);
  });
  const { ink, paper } = inkAndPaper(panel),
    legend = legendOfMap(panel, ink),
    height = 465 + legend.height;
  copy.setAttribute("width", 1040);
  copy.setAttribute("height", 2 * height);
  copy.setAttribute("viewBox", `0 -20 520 ${height}`);
  copy.append(...legend.nodes);
  copy.prepend(
    node("rect", { x: 0, y: -20, width: 520, height, fill: paper }),
    node(
      "text",
      { x: 8, y: -6, "font-size": 13, "font-family": "sans-serif", fill: ink },
      panel.data.title,
    ),
  );
  return [new XMLSerializer().serializeToString(copy), 2 * height];
}

// A cell that a spreadsheet would run as a formula gets a quote in front.
function cell(value) {
  const text = String(value),
    safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function mapAsCsv(panel) {
  const { data, free } = panel,
    now = panel.weights,
    steps = 40,
    // What only some maps have: a name, and its value at weights.
    more = [];
  if (data.where.length) more.push(["counts", (w) => (counts(w, data.where) ? "yes" : "no")]);
  if (!["member", "gap"].includes(data.field.kind))
    more.push([data.field.unit, (w) => panel.fieldAt(w).toFixed(6)]);
  const lines = [
    [...data.traitIds, "picked", "value", "best", "gap", ...more.map(([name]) => name)],
  ];
  const rows = data.traits.length > 2 ? steps : 0;
  for (let a = 0; a <= steps; a++) {
    for (let c = rows ? 0 : steps - a; c <= steps - a; c++) {
      const share = rows
        ? [a / steps, (steps - a - c) / steps, c / steps]
        : [a / steps, 1 - a / steps];
      const w = fullWeights(share, now, free),
        pick = pickAt(data.members, data.candidates, w);
      lines.push([
        ...w.map((x) => x.toFixed(4)),
        data.policies[pick.member],
        pick.value.toFixed(6),
        pick.bestValue.toFixed(6),
        pick.gap.toFixed(6),
        ...more.map(([, value]) => value(w)),
      ]);
    }
  }
  return lines.map((line) => line.map(cell).join(",")).join("\n");
}

// What the trait bars show: one [name, colour, reward a trait] for picked member, best candidate and base.
function barRows(panel) {
  const { data } = panel,
    pick = pickAt(data.members, data.candidates, panel.weights),
    // Where none is better, the best one is the member itself: as pick_info in the engine.
    same = pick.gap <= TIE;
  return [
    [data.names[pick.member], data.colours[pick.member], data.rewards[pick.member]],
    [
      `best candidate: ${same ? data.names[pick.member] : data.candidateNames[pick.best]}`,
      "#8494a4",
      same ? data.rewards[pick.member] : data.candidateRewards[pick.best],
    ],
    ...(data.base ? [["base model", "#c3ccd5", data.base]] : []),
  ];
}

function barsAsSvg(panel) {
  const rows = barRows(panel),
    { traits } = panel.data,
    band = 16 * rows.length + 14,
    height = 60 + 16 * rows.length + band * traits.length;
  const { ink, paper } = inkAndPaper(panel),
    at = { "font-family": "sans-serif", fill: ink };
  const svg = node("svg", { width: 1040, height: 2 * height, viewBox: `0 0 520 ${height}` });
  svg.append(node("rect", { x: 0, y: 0, width: 520, height, fill: paper }));
  svg.append(
    node(
      "text",
      { ...at, x: 8, y: 18, "font-size": 13 },
      `Expected reward on each trait (0 to 1) at ${named(traits, panel.weights)}`,
    ),
  );
  for (const [i, [name, colour]] of rows.entries()) {
    svg.append(
      node("rect", { x: 8, y: 28 + 16 * i, width: 10, height: 10, fill: colour }),
      node("text", { ...at, x: 24, y: 37 + 16 * i, "font-size": 11 }, name),
    );
  }
  for (const [t, trait] of traits.entries()) {
    for (const [i, [, colour, rewards]] of rows.entries()) {
      const y = 44 + 16 * rows.length + band * t + 16 * i;
      if (!i) svg.append(node("text", { ...at, x: 8, y: y + 10, "font-size": 12 }, trait));
      svg.append(
        node("rect", { x: 120, y, width: 340 * rewards[t], height: 11, fill: colour }),
        node(
          "text",
          { ...at, x: 126 + 340 * rewards[t], y: y + 10, "font-size": 11 },
          rewards[t].toFixed(3),
        ),
      );
    }
  }
  return [new XMLSerializer().serializeToString(svg), 2 * height];
}

function barsAsCsv(panel) {
  const lines = [
    ["model", ...panel.data.traitIds],
    ...barRows(panel).map(([name, , rewards]) => [name, ...rewards]),
  ];
  return lines.map((line) => line.map(cell).join(",")).join("\n");
}

// `what` is "map" or "bars"; `kind` SVG, PNG or CSV.
function download(panel, what, kind) {
  const name = `${panel.data.file}${what === "map" ? "" : "-traits"}.${kind.toLowerCase()}`;
  if (kind === "CSV") {
    saveBlob(
      new Blob([what === "map" ? mapAsCsv(panel) : barsAsCsv(panel)], { type: "text/csv" }),
      name,
    );
    return;
  }
  const [svg, height] = what === "map" ? mapAsSvg(panel) : barsAsSvg(panel);
  if (kind === "SVG") {
    saveBlob(new Blob([svg], { type: "image/svg+xml" }), name);
    return;
  }
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas"),
      pen = canvas.getContext("2d");
    canvas.width = 1040;
    canvas.height = height;
    pen.fillStyle = inkAndPaper(panel).paper;
    pen.fillRect(0, 0, 1040, height);
    pen.drawImage(image, 0, 0);
    canvas.toBlob((blob) => saveBlob(blob, name));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
}

function downloads(panel, what, name) {
  return element(
    "div",
    { class: "chips" },
    ...["SVG", "PNG", "CSV"].map((kind) =>
      element("button", {
        text: kind,
        "aria-label": `Download the ${name} as ${kind}`,
        onclick: () => download(panel, what, kind),
      }),
    ),
  );
}
