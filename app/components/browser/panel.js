// The live panel: sliders, presets, map with its puck, picked member, gaps and trait bars. It repaints by itself, at
// most once a frame; `send` tells the server afterwards. Every text is set as text, never as markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// For two, three, and more traits.
const LEGEND = ["dotted line: best candidate; dots: trained here", "dashed lines: equal gap; dots: trained here",
  "dashed lines: equal gap; dots: trained here (faint: mostly for the other traits)"];

function named(traits, w) {
  return traits.map((t, i) => `${t} ${w[i].toFixed(2)}`).join(", ");
}

function percent(x) {
  return `${(100 * x).toFixed(x > 0.9995 || x < 0.0005 ? 0 : 1)} %`;
}

class Panel {
  constructor(host, data, send) {
    this.host = host; this.send = send; this.raw = data.raw.slice();
    this.free = data.traits.map((_, i) => i).slice(0, 3);
    this.build(data);
    this.update(data);
  }

  get weights() { return normalise(this.raw); }

  build(data) {
    this.data = data;
    this.structure = JSON.stringify([data.traits, data.layout]);
    const full = data.layout === "full", live = element("div", { class: "unseen", "aria-live": "polite" });
    this.parts = { live, sliders: [], bars: [] };
    const map = this.buildMap(data);
    this.host.replaceChildren(element("div", { class: "atlas" },
      full ? element("div", { class: "columns two" }, this.buildControls(data),
        element("div", {}, map, this.buildBars(data))) : map, live));
  }

  buildControls(data) {
    this.parts.presets = element("div", { class: "chips", role: "group", "aria-label": "Presets" });
    const box = element("section", { "aria-label": "Your weights" }, element("h3", { text: "What matters to you?" }), this.parts.presets);
    data.traits.forEach((trait, i) => {
      const id = `slider-${data.id}-${i}`, output = element("output", { for: id });
      const input = element("input", { type: "range", id, min: 0, max: 100, step: 1,
        oninput: () => { this.raw[i] = Number(input.value); this.changed(false); }, onchange: () => this.changed(true) });
      this.parts.sliders.push([input, output]);
      box.append(element("div", { class: "trait" }, element("label", { for: id, text: trait }), output, input));
    });
    this.parts.bar = element("div", { class: "weights", "aria-hidden": "true" });
    data.traits.forEach((_, i) => this.parts.bar.append(element("div", { style: `background:${data.traitColours[i]}` })));
    this.parts.effective = element("div", { class: "quiet effective" });
    this.parts.picked = element("div", { class: "picked", "data-part": "picked" });
    this.parts.about = element("div", { class: "quiet" });
    this.parts.words = element("div", { class: "words" });
    this.parts.card = element("div", { class: "card" }, element("div", { class: "quiet", text: "Picked for you" }),
      this.parts.picked, this.parts.about, this.parts.words);
    this.parts.gap = element("b", { "data-part": "gap" });
    this.parts.worst = element("b", { "data-part": "worst" });
    this.parts.where = element("div", { class: "quiet" });
    this.parts.goWorst = element("button", { text: "Go there", onclick: () => this.set(this.data.worst.at.map((x) => 100 * x)) });
    box.append(this.parts.bar, this.parts.effective, this.parts.card, element("div", { class: "gaps" },
      element("div", {}, "Gap at your weights", this.parts.gap,
        element("div", { class: "quiet", text: `${data.unit} behind the best candidate (scope: ${data.scope})` })),
      element("div", {}, "Worst gap anywhere", this.parts.worst, this.parts.where, this.parts.goWorst)));
    return box;
  }

  buildMap(data) {
    const svg = node("svg", { viewBox: "0 0 520 445", class: "map", role: "group" });
    this.parts.layer = node("g");
    this.parts.puck = node("g", { class: "puck", tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.parts.puck.append(node("circle", { r: 11, class: "halo" }), node("path", { d: "M-6,0H6M0,-6V6", class: "cross" }));
    svg.append(this.parts.layer, this.parts.puck);
    this.parts.svg = svg;
    this.parts.tip = element("div", { class: "tip", hidden: "" });
    this.parts.title = element("h3", {});
    this.parts.legend = element("div", { class: "legend" });
    this.parts.held = element("div", { class: "held" });
    const point = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      if (data.traits.length > 2) return toShare(at.x, at.y);
      const x = Math.min(Math.max((at.x - 64) / 416, 0), 1);
      return [x, 1 - x];
    };
    const move = (event) => this.setShare(point(event), false);
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId); this.dragging = true; this.parts.tip.hidden = true; move(event);
      this.parts.puck.focus({ preventScroll: true }); event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => (this.dragging ? move(event) : this.hover(event, point(event))));
    const release = () => { if (this.dragging) { this.dragging = false; this.changed(true); } };
    svg.addEventListener("pointerup", release);
    svg.addEventListener("pointercancel", release);
    svg.addEventListener("pointerleave", () => { this.parts.tip.hidden = true; });
    this.parts.puck.addEventListener("keydown", (event) => this.key(event));
    return element("figure", { class: "figure", style: "margin:0" }, this.parts.title, this.parts.held, svg,
      this.parts.tip, this.parts.legend, downloads(this, "map", "map"));
  }

  buildBars(data) {
    const box = element("div", { class: "bars" });
    data.traits.forEach((trait) => {
      box.append(element("div", { class: "group", text: trait }));
      this.parts.bars.push([0, 1, 2].map(() => {
        const bar = element("div", { class: "bar" }), number = element("div", { class: "number" });
        box.append(element("div", {}, bar), number);
        return [bar, number];
      }));
    });
    this.parts.barLegend = element("div", { class: "legend" });
    return element("section", { style: "margin-top:1rem" }, element("h3", { text: "Expected reward on each trait (0 to 1)" }), this.parts.barLegend, box,
      downloads(this, "bars", "trait bars"));
  }

  // New data from the server. The sliders stay where the user has them.
  update(data) {
    if (JSON.stringify([data.traits, data.layout]) !== this.structure) {
      this.parts = {}; this.free = data.traits.map((_, i) => i).slice(0, 3); this.raw = data.raw.slice(); this.build(data);
    }
    // Most reruns bring nothing new: then nothing but the weights can have changed.
    const same = data.stamp === this.stamp;
    this.data = data; this.stamp = data.stamp;
    if (same) { this.paint(); return; }
    this.drawn = null;
    this.parts.title.textContent = data.title;
    this.parts.legend.replaceChildren(...data.names.map((name, i) =>
      element("span", { text: name, style: `--c:${data.colours[i]}` })), ...(data.layout === "full" ? [element("span", { text: LEGEND[Math.min(data.traits.length, 4) - 2], style: "--c:transparent" })] : []));
    if (data.layout === "full") {
      this.parts.worst.textContent = data.worst.additive.toFixed(4);
      this.parts.where.textContent = data.worst.text;
      this.fillPresets();
    }
    this.fillHeld();
    this.paint();
  }

  fillPresets() {
    const key = `palm-atlas.${this.data.id}.presets`;
    let saved = [];
    try { saved = JSON.parse(localStorage.getItem(key) || "[]").filter((p) => p.length === this.raw.length); } catch { saved = []; }
    const keep = (list) => { try { localStorage.setItem(key, JSON.stringify(list)); } catch { /* private window */ } this.fillPresets(); };
    const chip = (text, raw) => element("button", { text, onclick: () => this.set(raw) });
    this.parts.presets.replaceChildren(chip("Balanced", this.raw.map(() => 50)),
      element("button", { text: "Reset", "aria-label": "Reset weights and corners", onclick: () => {
        this.free = this.data.traits.map((_, i) => i).slice(0, 3); this.parts.held.replaceChildren(); this.drawn = null; this.fillHeld();
        this.set(this.raw.map(() => 50)); } }),
      ...this.data.traits.map((t, i) => chip(`All ${t}`, this.raw.map((_, j) => (i === j ? 100 : 0)))),
      ...saved.map((raw, i) => chip(`Saved ${i + 1}`, raw)),
      element("button", { text: "Save", "aria-label": "Save these weights as a preset", onclick: () => keep([...saved, this.raw.slice()]) }),
      ...(saved.length ? [element("button", { text: "Clear saved", onclick: () => keep([]) })] : []));
  }

  fillHeld() {
    const { traits } = this.data;
    if (traits.length <= 3) { this.parts.held.hidden = true; return; }
    if (this.parts.held.childElementCount) return;
    this.parts.held.append("Triangle over", ...this.free.map((chosen, corner) => {
      const pick = element("select", { "aria-label": `Trait at corner ${corner + 1}`, onchange: () => {
        const other = this.free.indexOf(Number(pick.value));
        if (other >= 0) this.free[other] = this.free[corner];
        this.free[corner] = Number(pick.value);
        this.parts.held.replaceChildren(); this.drawn = null; this.fillHeld(); this.paint();
      } }, ...traits.map((t, i) => element("option", { value: i, text: t })));
      pick.value = chosen;
      return pick;
    }), "the other traits held");
  }

  set(raw) { this.raw = raw.slice(); this.changed(true); }

  setShare(share, final) {
    const now = this.weights, left = this.free.reduce((s, i) => s + now[i], 0);
    if (left <= 1e-9) {
      // All weight is on traits that this triangle doesn't show: the heaviest takes a corner, or the mark couldn't move.
      this.free[this.free.length - 1] = now.indexOf(Math.max(...now));
      this.parts.held.replaceChildren(); this.drawn = null; this.fillHeld();
      this.setShare(share, final);
      return;
    }
    // The sliders keep their height together: the first touch of the map must not make them jump.
    const w = fullWeights(share, now, this.free), total = this.raw.reduce((a, b) => a + b, 0) || 100;
    const height = Math.min(total, 100 / Math.max(...w));
    this.raw = w.map((x) => Math.round(10 * height * x) / 10);
    this.changed(final);
  }

  key(event) {
    const step = event.shiftKey ? 0.1 : 0.02, share = sharesOf(this.weights, this.free), last = share.length - 1;
    const moves = { ArrowUp: 0, ArrowLeft: last > 1 ? 1 : last, ArrowRight: last > 1 ? 2 : 0, Home: -1 };
    if (event.key === "ArrowDown") this.setShare(normalise(share.map((s, i) => (i ? s + step / last : Math.max(s - step, 0)))), true);
    else if (moves[event.key] === -1) this.setShare(share.map(() => 1 / share.length), true);
    else if (event.key in moves) {
      const toward = moves[event.key];
      this.setShare(share.map((s, i) => (i === toward ? s + step * (1 - s) : s * (1 - step))), true);
    } else return;
    event.preventDefault();
  }

  hover(event, share) {
    const full = fullWeights(share, this.weights, this.free), box = this.parts.svg.parentElement.getBoundingClientRect();
    const pick = pickAt(this.data.members, this.data.candidates, full);
    let text = `${named(this.data.traits, full)}\npicked: ${this.data.names[pick.member]}\ngap ${pick.gap.toFixed(4)} (scope: ${this.data.scope})`;
    if (this.data.field.kind !== "member") text += `\n${this.data.field.unit}: ${this.fieldAt(full).toFixed(4)}`;
    this.parts.tip.textContent = text;
    this.parts.tip.hidden = false;
    this.parts.tip.style.left = `${Math.min(event.clientX - box.left + 14, box.width - 190)}px`;
    this.parts.tip.style.top = `${event.clientY - box.top + 14}px`;
  }

  fieldAt(w) {
    const { field, members, candidates, rewards, other } = this.data, pick = pickAt(members, candidates, w);
    if (field.kind === "gap") return pick.gap;
    if (field.kind === "multiplicative") return pick.multiplicative ?? NaN;
    if (field.kind === "best") return pick.bestValue;
    if (field.kind === "trait") return rewards[pick.member][field.trait];
    return pick.value - bestOf(other, w).value;
  }

  changed(final) {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = null; this.paint(); });
    clearTimeout(this.timer);
    const now = Date.now(), wait = final ? 0 : Math.max(150 - (now - (this.sent || 0)), 0);
    this.timer = setTimeout(() => { this.sent = Date.now(); this.send(this.raw.slice()); }, wait);
  }

  // The slice only changes with the held traits: while the puck moves inside it, nothing but the puck is redrawn.
  drawScene(w) {
    const { data, free } = this, cut = (points) => slicePoints(points, w, free);
    const key = JSON.stringify(w.map((x, i) => (free.includes(i) ? 0 : Number(x.toFixed(6)))));
    if (this.drawn === key) return;
    this.drawn = key;
    const dots = data.trained.map((t) => {
      const part = t ? free.reduce((s, i) => s + t[i], 0) : 0;
      return part > 0.02 ? { at: sharesOf(t, free), part: 0.25 + 0.75 * part } : null;
    });
    const field = data.field.kind === "member" ? null
      : { ...data.field, at: (share) => this.fieldAt(fullWeights(share, w, free)), low: ["best", "difference"].includes(data.field.kind) ? undefined : 0,
        steps: data.field.kind === "trait" ? data.rewards.map((r) => r[data.field.trait]) : null };
    (data.traits.length > 2 ? drawTriangle : drawSegment)(this.parts.layer, { members: cut(data.members),
      candidates: cut(data.candidates), names: data.names, colours: data.colours, dots, field, threshold: data.threshold,
      corners: free.map((i) => data.traits[i]), unit: data.unit, rival: data.rival });
  }

  paint() {
    const { data, parts } = this, w = this.weights, pick = pickAt(data.members, data.candidates, w);
    this.drawScene(w);
    const share = sharesOf(w, this.free), [x, y] = data.traits.length > 2 ? toXY(share) : [64 + 416 * share[0], parts.layer.heightAt(share[0])];
    parts.puck.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})`);
    parts.puck.setAttribute("aria-label", `Weights on the map. Arrow keys move between ${data.traits.join(", ")}`);
    parts.puck.setAttribute("aria-valuenow", Math.round(100 * w[this.free[0]]));
    const sentence = `${named(data.traits, w)}; picked ${data.names[pick.member]}, gap ${pick.gap.toFixed(4)}`;
    parts.puck.setAttribute("aria-valuetext", sentence);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => { parts.live.textContent = sentence; }, 700);
    if (data.layout === "full") this.paintNumbers(w, pick);
  }

  paintNumbers(w, pick) {
    const { data, parts } = this;
    parts.sliders.forEach(([input, output], i) => { input.value = this.raw[i]; output.textContent = Math.round(this.raw[i]); });
    [...parts.bar.children].forEach((cell, i) => { cell.style.width = `${100 * w[i]}%`; });
    parts.effective.textContent = `Effective weights: ${named(data.traits, w)}`
      + (this.raw.some((r) => r > 0) ? "" : ". All sliders are at zero: no preference is taken as equal weights.");
    parts.picked.textContent = data.names[pick.member];
    parts.about.textContent = data.about[pick.member];
    parts.card.style.borderLeftColor = data.colours[pick.member];
    parts.gap.textContent = pick.gap.toFixed(4);
    parts.words.textContent = pick.multiplicative === null ? "The best value here isn't positive, so no share of it is given."
      : pick.gap < 1e-12 ? "As good as the best candidate there is." : `${percent(1 - pick.multiplicative)} of what the best candidate would give you.`;
    const rows = barRows(this);
    parts.barLegend.replaceChildren(...rows.map(([name, colour]) => element("span", { text: name, style: `--c:${colour}` })));
    parts.bars.forEach((group, t) => group.forEach(([bar, number], i) => {
      const value = rows[i] ? rows[i][2][t] : null;
      bar.style.cssText = value === null ? "display:none" : `width:${100 * value}%;background:${rows[i][1]}`;
      number.textContent = value === null ? "" : value.toFixed(2);
    }));
    this.host.dispatchEvent(new CustomEvent("picked", { detail: { pick, weights: w } }));
  }
}
