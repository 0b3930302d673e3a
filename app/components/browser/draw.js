// Drawing: an SVG triangle (three traits) or segment (two), with exact regions, fields, lines, dots and a puck.
const SVG = "http://www.w3.org/2000/svg";
const TOP = [260, 34],
  LEFT = [40, 415],
  RIGHT = [480, 415];
const STEPS = 72;
// Viridis: even steps of lightness, so it reads in grey and with every colour blindness (van der Walt and Smith 2015).
const SHADES = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 74, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [109, 205, 89],
  [180, 222, 44],
  [253, 231, 37],
];

// For signed fields: blue below 0, white at 0, orange above (Brewer, "PuOr" turned; safe with every colour blindness).
const SIGNED = [
  [33, 72, 142],
  [92, 134, 190],
  [166, 189, 219],
  [247, 247, 247],
  [253, 184, 99],
  [224, 130, 20],
  [153, 79, 0],
];

function node(name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

function shade(t, shades = SHADES) {
  const x = Math.min(Math.max(t, 0), 1) * (shades.length - 1),
    i = Math.min(Math.floor(x), shades.length - 2);
  return shades[i].map((a, c) => Math.round(a + (x - i) * (shades[i + 1][c] - a)));
}

function toXY(share) {
  return [0, 1].map((c) => share[0] * TOP[c] + share[1] * LEFT[c] + share[2] * RIGHT[c]);
}

// Shares of the point of the triangle nearest to (x, y).
function toShare(x, y) {
  const a = (LEFT[1] - y) / (LEFT[1] - TOP[1]);
  const c = (x - LEFT[0] - a * (TOP[0] - LEFT[0])) / (RIGHT[0] - LEFT[0]);
  const share = [a, 1 - a - c, c].map((s) => Math.max(s, 0)),
    total = share[0] + share[1] + share[2];
  return share.map((s) => s / total);
}

function short(value) {
  return Math.abs(value) >= 0.1 || value === 0 ? value.toFixed(2) : value.toFixed(3);
}

// A field as an image that fills the triangle's box; scale [low, high] to the shades.
function fieldImage(rows, low, high, shades) {
  const width = 352,
    height = Math.round((width * (LEFT[1] - TOP[1])) / (RIGHT[0] - LEFT[0]));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const pixels = canvas.getContext("2d").createImageData(width, height);
  for (let row = 0; row < height; row++) {
    const a = 1 - (row + 0.5) / height;
    for (let column = 0; column < width; column++) {
      const c = (column + 0.5) / width - a / 2,
        b = 1 - a - c;
      if (c < -0.004 || b < -0.004) continue;
      const colour = shade((interpolate(rows, [a, b, c]) - low) / (high - low || 1), shades),
        at = 4 * (row * width + column);
      pixels.data[at] = colour[0];
      pixels.data[at + 1] = colour[1];
      pixels.data[at + 2] = colour[2];
      pixels.data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

function colourBar(layer, low, high, title, shades) {
  const bar = node("g", { "aria-hidden": "true" });
  for (let i = 0; i < 60; i++) {
    bar.append(
      node("rect", {
        x: 396 + i * 1.8,
        y: 8,
        width: 2.2,
        height: 9,
        fill: `rgb(${shade(i / 59, shades)})`,
      }),
    );
  }
  bar.append(node("text", { x: 396, y: 29, class: "small" }, short(low)));
  bar.append(node("text", { x: 504, y: 29, class: "small", "text-anchor": "end" }, short(high)));
  bar.append(node("text", { x: 504, y: 42, class: "small", "text-anchor": "end" }, title));
  layer.append(bar);
}

// A polygon of shares as the points of an SVG polygon.
function pointsOf(polygon) {
  return polygon
    .map((p) =>
      toXY(p)
        .map((x) => x.toFixed(2))
        .join(","),
    )
    .join(" ");
}

// Where member `i` was trained, at (cx, cy); fainter where only a part of its weight is on these traits.
function trainingDot(layer, scene, i, cx, cy) {
  const made = node("circle", {
    cx,
    cy,
    r: scene.movable ? 10 : 6,
    fill: scene.colours[i],
    class: scene.movable ? "dot movable" : "dot",
    opacity: scene.dots[i].part,
  });
  if (scene.movable) {
    made.dataset.member = i;
    made.setAttribute("tabindex", "0");
    made.setAttribute("role", "button");
    made.setAttribute("aria-label", `Member ${scene.names[i]}: drag it, or move it by arrow keys`);
  }
  made.append(
    node("title", {}, `${scene.names[i]} ${scene.movable ? "(drag it)" : "was trained here"}`),
  );
  layer.append(made);
}

function centroid(polygon) {
  return [0, 1, 2].map((i) => polygon.reduce((sum, p) => sum + p[i], 0) / polygon.length);
}

// Whether (x, y) lies in a polygon of points, by the even-odd rule.
function holds(points, x, y) {
  let inside = false;
  points.forEach(([u, v], i) => {
    const [s, t] = points[(i + 1) % points.length];
    if (v > y !== t > y && x < u + ((y - v) * (s - u)) / (t - v)) inside = !inside;
  });
  return inside;
}

// The middle of a line of text, `half` as long to each side, that lies in a polygon and hides no dot: the place nearest
// to the polygon's middle; null where none fits.
function roomFor(polygon, half, dots) {
  const points = polygon.map(toXY),
    [mx, my] = toXY(centroid(polygon));
  let best = null;
  for (let y = TOP[1] + 14; y < LEFT[1] - 2; y += 6) {
    for (let x = LEFT[0] + half; x < RIGHT[0] - half; x += 6) {
      const fits = [-half, 0, half].every((dx) =>
        [-11, 3].every((dy) => holds(points, x + dx, y + dy)),
      );
      const hides = dots.some((d) => {
        if (!d) return false;
        const [u, v] = toXY(d.at);
        return Math.abs(u - x) < half + 8 && Math.abs(v - y + 4) < 14;
      });
      const far = (x - mx) ** 2 + (y - my) ** 2;
      if (fits && !hides && (!best || far < best.far)) best = { at: [x, y], far };
    }
  }
  return best?.at ?? null;
}

// The least and the largest number of a lattice.
function extremes(rows) {
  let low = Infinity;
  let high = -Infinity;
  for (const row of rows) {
    for (const x of row) {
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
  }
  return [low, high];
}

// Stripes over what doesn't count: a figure without a hole.
function hatch(layer, figure, hole) {
  const pattern = node("pattern", {
    id: "stripes",
    width: 7,
    height: 7,
    patternUnits: "userSpaceOnUse",
    patternTransform: "rotate(45)",
  });
  pattern.append(
    node("rect", { width: 7, height: 7, class: "veil" }),
    node("rect", { width: 2.5, height: 7, class: "stripe" }),
  );
  const path = (points) => (points.length ? `M${points.map((p) => p.join(",")).join("L")}Z` : "");
  const veiled = node("path", {
    d: path(figure) + path(hole),
    fill: "url(#stripes)",
    "fill-rule": "evenodd",
    class: "uncounted",
  });
  veiled.append(node("title", {}, "These weights don't count in this bundle"));
  layer.append(pattern, veiled);
}

// Everything under the puck for three traits. `scene`: members, candidates (sliced points), names, colours, dots
// (where members were trained: { at: shares, part: of their weight on these traits }, or null), corners (trait names), field (null: regions), lines (levels' unit).
function drawTriangle(layer, scene) {
  layer.replaceChildren();
  const regions = regionsOf(scene.members);
  const outline = [TOP, LEFT, RIGHT].map((p) => p.join(",")).join(" ");
  const steps = scene.field?.steps;
  if (steps) {
    // One value a region: the exact regions are filled, nothing is interpolated across a border.
    const used = steps.filter((_, i) => regions[i].length > 2),
      low = Math.min(...used),
      high = Math.max(...used);
    regions.forEach((polygon, i) => {
      if (polygon.length < 3) return;
      const fill = `rgb(${shade(high > low ? (steps[i] - low) / (high - low) : 0.5)})`;
      layer.append(node("polygon", { points: pointsOf(polygon), fill }));
    });
    colourBar(layer, low, high, scene.field.unit, SHADES);
  } else if (scene.field) {
    const rows = lattice(STEPS, scene.field.at);
    let [low, high] = extremes(rows);
    if (scene.field.low !== undefined) low = Math.min(scene.field.low, low);
    const signed = scene.field.kind === "difference",
      shades = signed ? SIGNED : SHADES;
    if (signed) {
      high = Math.max(Math.abs(low), Math.abs(high), 1e-9);
      low = -high;
    }
    const image = node("image", {
      x: LEFT[0],
      y: TOP[1],
      width: RIGHT[0] - LEFT[0],
      height: LEFT[1] - TOP[1],
      preserveAspectRatio: "none",
      href: fieldImage(rows, low, high, shades),
    });
    const hole = node("clipPath", { id: "inside" });
    hole.append(node("polygon", { points: outline }));
    image.setAttribute("clip-path", "url(#inside)");
    layer.append(hole, image);
    colourBar(layer, low, high, scene.field.unit, shades);
    // No label beside the threshold's line, which says itself where it is.
    const near = (level) =>
      scene.threshold != null && Math.abs(level - scene.threshold) < 0.02 * (high - low);
    drawLines(
      layer,
      rows,
      roundLevels(low, high).filter((level) => !near(level)),
      "on-field",
      scene.dots,
    );
    if (scene.threshold != null) drawLines(layer, rows, [scene.threshold], "threshold", []);
  }
  regions.forEach((polygon, i) => {
    if (polygon.length < 3) return;
    layer.append(
      node("polygon", {
        points: pointsOf(polygon),
        fill: scene.field ? "none" : scene.colours[i],
        class: scene.field ? "border" : "region",
      }),
    );
  });
  if (scene.where) {
    const all = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ];
    const inside = scene.where.length ? within(all, scene.where) : [];
    hatch(layer, [TOP, LEFT, RIGHT], inside.map(toXY));
  }
  layer.append(node("polygon", { points: outline, class: "outline" }));
  scene.dots.forEach((dot_, i) => {
    if (dot_) trainingDot(layer, scene, i, ...toXY(dot_.at));
  });
  regions.forEach((polygon, i) => {
    if (polygon.length < 3) return;
    const shown = scene.where?.length ? within(polygon, scene.where) : polygon;
    if (shown.length < 3) return;
    const place = roomFor(shown, 3.6 * scene.names[i].length + 4, scene.dots);
    if (!place) return; // the legend has it
    const [x, y] = place;
    layer.append(node("text", { x, y, class: "name", "text-anchor": "middle" }, scene.names[i]));
  });
  [
    [TOP, "middle", -14],
    [LEFT, "start", 26],
    [RIGHT, "end", 26],
  ].forEach(([[x, y], anchor, shift], i) => {
    const dx = i === 1 ? -30 : i === 2 ? 30 : 0;
    layer.append(
      node(
        "text",
        { x: x + dx, y: y + shift, class: "corner", "text-anchor": anchor },
        scene.corners[i],
      ),
    );
  });
}

// Where a line's number stands: on the line, inside the triangle, over no dot and no other number, and as near to the
// triangle's middle as that goes; null where there is no such place.
function numberPlace(pieces, dots, placed) {
  const triangle = [TOP, LEFT, RIGHT],
    [mx, my] = toXY([1 / 3, 1 / 3, 1 / 3]),
    marks = dots.filter(Boolean).map((d) => toXY(d.at));
  const clear = ([x, y]) =>
    [-15, 15].every((dx) => [-14, 2].every((dy) => holds(triangle, x + dx, y + dy))) &&
    !marks.some(([u, v]) => Math.abs(u - x) < 24 && Math.abs(v - y + 6) < 16) &&
    !placed.some(([u, v]) => Math.abs(u - x) < 34 && Math.abs(v - y) < 14);
  let best = null;
  for (const [share] of pieces) {
    const at = toXY(share),
      far = (at[0] - mx) ** 2 + (at[1] - my) ** 2;
    // The middle is where the mark stands at first.
    if (far > 1600 && (!best || far < best.far) && clear(at)) best = { at, far };
  }
  return best?.at ?? null;
}

function drawLines(layer, rows, levels, kind, dots) {
  const placed = [];
  levels.forEach((level) => {
    const pieces = isoLine(rows, level);
    if (!pieces.length) return;
    const path = joined(pieces).map((line) =>
      line.map((p, i) => `${i ? "L" : "M"}${toXY(p).map((x) => x.toFixed(1))}`).join(""),
    );
    layer.append(node("path", { d: path.join(""), class: kind }));
    if (kind === "threshold") return;
    const place = numberPlace(pieces, dots, placed);
    if (!place) return;
    const [x, y] = place;
    placed.push(place);
    layer.append(
      node(
        "text",
        { x, y: y - 3, class: `level ${kind}-level`, "text-anchor": "middle" },
        short(level),
      ),
    );
  });
}

// Two traits: value against the first trait's share; the best candidate dotted, the members' envelope in colour.
function drawSegment(layer, scene) {
  layer.replaceChildren();
  const count = 240,
    xs = Array.from({ length: count + 1 }, (_, i) => i / count);
  const at = scene.field ? scene.field.at : (w) => bestOf(scene.members, w).value;
  const upper = (w) => (scene.field ? at(w) : bestOf(scene.candidates, w).value);
  const values = xs.flatMap((x) => [at([x, 1 - x]), upper([x, 1 - x])]);
  const low = Math.min(...values),
    high = Math.max(...values) + 1e-9;
  const X = (x) => 64 + 416 * x,
    Y = (v) => 380 - (330 * (v - low)) / (high - low);
  const line = (f, from, to) =>
    xs
      .filter((x) => x >= from && x <= to)
      .map((x, i) => `${i ? "L" : "M"}${X(x).toFixed(1)},${Y(f([x, 1 - x])).toFixed(1)}`)
      .join("");
  roundLevels(low, high).forEach((v) => {
    layer.append(node("line", { x1: 64, x2: 480, y1: Y(v), y2: Y(v), class: "grid" }));
    layer.append(
      node("text", { x: 58, y: Y(v) + 4, class: "small", "text-anchor": "end" }, short(v)),
    );
  });
  layer.heightAt = (x) => Y(at([x, 1 - x]));
  layer.append(node("path", { d: line(upper, 0, 1), class: "bestline" }));
  let start = 0;
  for (let i = 1; i <= count + 1; i++) {
    const now = i <= count ? bestOf(scene.members, [xs[i], 1 - xs[i]]).index : -1;
    const before = bestOf(scene.members, [xs[start], 1 - xs[start]]).index;
    if (now === before) continue;
    layer.append(
      node("path", {
        d: line(at, xs[start], xs[Math.min(i, count)]),
        class: "valueline",
        stroke: scene.colours[before],
      }),
    );
    if (i - start > 24)
      layer.append(
        node(
          "text",
          {
            x: X((xs[start] + xs[Math.min(i, count)]) / 2),
            y: 398,
            class: "small",
            "text-anchor": "middle",
          },
          scene.names[before],
        ),
      );
    start = i;
  }
  if (scene.where) {
    const [low, high] = scene.where.length
      ? [
          Math.max(scene.where[0][0], 1 - scene.where[1][1]),
          Math.min(scene.where[0][1], 1 - scene.where[1][0]),
        ]
      : [0, 0];
    const box = (from, to) => [
      [X(from), 50],
      [X(to), 50],
      [X(to), 380],
      [X(from), 380],
    ];
    hatch(layer, box(0, 1), box(Math.max(low, 0), Math.min(high, 1)));
  }
  scene.dots.forEach((dot_, i) => {
    if (dot_) trainingDot(layer, scene, i, X(dot_.at[0]), layer.heightAt(dot_.at[0]));
  });
  if (scene.threshold != null && scene.threshold <= high) {
    layer.append(node("path", { d: `M64,${Y(scene.threshold)}H480`, class: "threshold" }));
  }
  layer.append(node("text", { x: 64, y: 425, class: "corner" }, `all ${scene.corners[1]}`));
  layer.append(
    node(
      "text",
      { x: 480, y: 425, class: "corner", "text-anchor": "end" },
      `all ${scene.corners[0]}`,
    ),
  );
  layer.append(
    node(
      "text",
      { x: 64, y: 22, class: "small" },
      scene.field ? scene.field.unit : `value (${scene.unit}); dotted: ${scene.rival}`,
    ),
  );
}
