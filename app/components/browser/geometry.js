// Portfolio geometry in the browser: plain functions over arrays, the same definitions as palm_engine.geometry.
// A policy is a point u; its value at weights w is w·u. Ties within 1e-12 go to the first, as in the engine.
const TIE = 1e-12;

function dot(a, b) {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}

// Effective weights of raw slider values; all zero means no preference: equal weights.
function normalise(raw) {
  const total = raw.reduce((a, b) => a + b, 0);
  return raw.map((r) => (total > 0 ? r / total : 1 / raw.length));
}

// The first point whose value is within TIE of the largest: as best_policy in the engine.
function bestOf(points, w, without = -1) {
  const values = points.map((u, i) => (i === without ? -Infinity : dot(u, w)));
  const top = Math.max(...values);
  const index = top === -Infinity ? -1 : values.findIndex((value) => value >= top - TIE);
  return { index, value: index < 0 ? top : values[index] };
}

// What a user with weights w gets: the picked member, the runner-up, the best candidate, the gap.
function pickAt(members, candidates, w) {
  const ours = bestOf(members, w);
  const best = bestOf(candidates, w);
  const gap = Math.max(best.value - ours.value, 0);
  return {
    member: ours.index,
    value: ours.value,
    runnerUp: bestOf(members, w, ours.index).index,
    best: best.index,
    bestValue: best.value,
    gap,
    multiplicative: best.value > 0 ? gap / best.value : null,
  };
}

// The simplex seen through `free` traits, the others held at w: points whose value is linear in the shares of the
// free traits alone (they sum to 1), so a slice of d traits is drawn like a simplex of three (or two).
function slicePoints(points, w, free) {
  const held = w.map((x, i) => (free.includes(i) ? 0 : x));
  const left = 1 - held.reduce((a, b) => a + b, 0);
  return points.map((u) => {
    const fixed = dot(u, held);
    return free.map((i) => left * u[i] + fixed);
  });
}

function fullWeights(share, w, free) {
  const left = free.reduce((sum, i) => sum + w[i], 0),
    out = w.slice();
  free.forEach((trait, i) => {
    out[trait] = left * share[i];
  });
  return out;
}

// Shares of the free traits; even ones where they have no weight at all.
function sharesOf(w, free) {
  return normalise(free.map((i) => w[i]));
}

// The part of a convex polygon of shares where f >= 0, f linear (Sutherland and Hodgman, doi:10.1145/360767.360802).
function clip(polygon, f) {
  const out = [];
  for (let i = 0; i < polygon.length; i++) {
    const a = polygon[i],
      b = polygon[(i + 1) % polygon.length],
      fa = f(a),
      fb = f(b);
    if (fa >= 0) out.push(a);
    if (fa >= 0 !== fb >= 0) {
      const t = fa / (fa - fb);
      out.push(a.map((x, j) => x + t * (b[j] - x)));
    }
  }
  return out;
}

// Whether weights count, by bounds of each trait's; without bounds all do.
function counts(w, where) {
  return where.every(([low, high], i) => w[i] >= low - 1e-9 && w[i] <= high + 1e-9);
}

// Bounds of the free traits' shares, the others held as in w; null where no share counts.
function shareBounds(where, w, free) {
  const left = free.reduce((sum, i) => sum + w[i], 0),
    held = where.map((bounds, i) => (free.includes(i) ? [0, 1] : bounds));
  if (!counts(w, held) || left < 1e-9) return null;
  return free.map((i) => where[i].map((bound) => bound / left));
}

// The part of a polygon of shares where they keep their bounds.
function within(polygon, bounds) {
  return bounds.reduce(
    (left, [low, high], i) =>
      clip(
        clip(left, (w) => w[i] - low),
        (w) => high - w[i],
      ),
    polygon,
  );
}

// Exact regions of the members on a triangle: one convex polygon a member, empty where it is never picked.
function regionsOf(points) {
  return points.map((u, i) => {
    let polygon = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ];
    points.forEach((other, j) => {
      if (j === i || polygon.length === 0) return;
      const difference = u.map((x, t) => x - other[t]);
      const same = difference.every((x) => Math.abs(x) < TIE);
      if (same) {
        if (j < i) polygon = [];
        return;
      }
      polygon = clip(polygon, (w) => dot(difference, w));
    });
    return polygon;
  });
}

// Values of `f` on the lattice of shares with n steps, row by row from the first trait's corner downwards.
function lattice(n, f) {
  const rows = [];
  for (let down = 0; down <= n; down++) {
    const row = new Float64Array(down + 1);
    for (let c = 0; c <= down; c++) row[c] = f([(n - down) / n, (down - c) / n, c / n]);
    rows.push(row);
  }
  return rows;
}

// Pieces of the line f = level on the lattice's small triangles: pairs of shares.
function isoLine(rows, level) {
  const n = rows.length - 1,
    pieces = [];
  const at = (down, c) => [(n - down) / n, (down - c) / n, c / n];
  const cross = (...corners) => {
    const ends = [];
    for (let i = 0; i < 3; i++) {
      const [r1, c1] = corners[i],
        [r2, c2] = corners[(i + 1) % 3];
      const a = rows[r1][c1] - level,
        b = rows[r2][c2] - level;
      if (a >= 0 === b >= 0) continue;
      const p = at(r1, c1),
        q = at(r2, c2),
        t = a / (a - b);
      ends.push(p.map((x, j) => x + t * (q[j] - x)));
    }
    if (ends.length === 2) pieces.push(ends);
  };
  for (let down = 0; down < n; down++) {
    for (let c = 0; c <= down; c++) {
      cross([down, c], [down + 1, c], [down + 1, c + 1]);
      if (c < down) cross([down, c], [down, c + 1], [down + 1, c + 1]);
    }
  }
  return pieces;
}

// Pieces that share an end, joined into lines of shares: a dash then runs on along the whole line.
function joined(pieces) {
  const lines = new Lines();
  for (const piece of pieces) {
    // A level that meets a node of the lattice leaves pieces without length there.
    if (pointName(piece[0]) === pointName(piece[1])) continue;
    let line = piece.slice();
    for (let side = 0; side < 2; side++) {
      line = line.reverse();
      const other = lines.at(line.at(-1));
      if (!other) continue;
      lines.drop(other);
      line = extended(line, other);
    }
    lines.keep(line);
  }
  return [...lines.all];
}

// `line` continued by `other`, which begins or ends where it ends.
function extended(line, other) {
  const begins = pointName(other[0]) === pointName(line.at(-1));
  return [...line, ...(begins ? other : other.slice().reverse()).slice(1)];
}

function pointName(p) {
  return p.map((x) => x.toFixed(9)).join(",");
}

// Lines by their two ends.
class Lines {
  constructor() {
    this.all = new Set();
    this.ends = new Map();
  }

  at(p) {
    return this.ends.get(pointName(p))?.[0];
  }

  keep(line) {
    this.all.add(line);
    for (const p of [line[0], line.at(-1)]) {
      this.ends.set(pointName(p), [...(this.ends.get(pointName(p)) ?? []), line]);
    }
  }

  drop(line) {
    this.all.delete(line);
    for (const p of [line[0], line.at(-1)]) {
      const others = (this.ends.get(pointName(p)) ?? []).filter((other) => other !== line);
      this.ends.set(pointName(p), others);
    }
  }
}

// The lattice's value at any share, linear between its nodes.
function interpolate(rows, share) {
  const n = rows.length - 1,
    y = Math.min(Math.max(1 - share[0], 0) * n, n),
    x = Math.min(Math.max(share[2], 0) * n, y);
  const down = Math.min(Math.floor(y), n - 1),
    c = Math.min(Math.floor(x), down),
    fy = y - down,
    fx = x - c;
  const low = rows[down + 1];
  if (fx <= fy) return rows[down][c] * (1 - fy) + low[c] * (fy - fx) + low[c + 1] * fx;
  const right = Math.min(c + 1, down);
  return (
    rows[down][c] * (1 - fx) + rows[down][right] * (fx - fy) + low[Math.min(c + 1, down + 1)] * fy
  );
}

// Three round levels inside (low, high) for lines.
function roundLevels(low, high, count = 4) {
  const span = high - low;
  if (!(span > 1e-9)) return [];
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= count + 1);
  const levels = [];
  for (let x = Math.ceil(low / step) * step; x < high; x += step)
    if (x > low + 1e-12) levels.push(x);
  return levels;
}
