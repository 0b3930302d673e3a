// Shares a step further in the direction of an arrow key.
function shifted(share, key, step) {
  const last = share.length - 1,
    toward = { ArrowUp: 0, ArrowLeft: last > 1 ? 1 : last, ArrowRight: last > 1 ? 2 : 0 }[key];
  if (key === "ArrowDown")
    return normalise(share.map((s, i) => (i ? s + step / last : Math.max(s - step, 0))));
  return share.map((s, i) => (i === toward ? s + step * (1 - s) : s * (1 - step)));
}

// The live panel: sliders, presets, map with its puck, picked member, gaps and trait bars. It repaints by itself, at
// most once a frame; `send` tells the server afterwards.
class Panel extends PaintedPanel {
  constructor(host, data, send) {
    super();
    this.host = host;
    this.send = send;
    this.raw = data.raw.slice();
    this.moves = data.moves;
    this.mode = data.mode;
    this.past = data.before ? [data.before.slice()] : [];
    this.moving = null;
    this.touched = null;
    this.sendMoved = () => {};
    this.sendMode = () => {};
    this.sendCorners = () => {};
    this.takeCorners(data);
    this.build(data);
    this.update(data);
  }

  // The traits at the corners: the first three, or those that a link or another page names.
  takeCorners(data) {
    const given = JSON.stringify([data.traits, data.corners]);
    if (given === this.cornersGiven) return;
    this.cornersGiven = given;
    this.free = data.corners.length
      ? data.corners.slice()
      : data.traits.map((_, i) => i).slice(0, 3);
    this.parts?.held?.replaceChildren();
    this.drawn = null;
  }

  get weights() {
    return normalise(this.raw);
  }

  listen(svg) {
    const point = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(
        svg.getScreenCTM().inverse(),
      );
      if (this.data.traits.length > 2) return toShare(at.x, at.y);
      const x = Math.min(Math.max((at.x - 64) / 416, 0), 1);
      return [x, 1 - x];
    };
    const move = (event) =>
      this.moving === null
        ? this.setShare(point(event), false)
        : this.moveMember(this.moving, point(event), false);
    // A finger scrolls the page, unless it takes the mark; a tap sets it.
    svg.addEventListener("click", (event) => {
      if (event.pointerType !== "touch") return;
      this.remember();
      this.setShare(point(event), true);
    });
    svg.addEventListener("pointerdown", (event) => {
      const member = event.target.dataset?.member;
      if (member !== undefined) {
        svg.setPointerCapture(event.pointerId);
        this.moving = Number(member);
        this.dragging = true;
        this.parts.tip.hidden = true;
        event.preventDefault();
        return;
      }
      if (event.pointerType === "touch" && !this.parts.puck.contains(event.target)) return;
      svg.setPointerCapture(event.pointerId);
      this.remember();
      this.dragging = true;
      this.parts.tip.hidden = true;
      move(event);
      this.parts.puck.focus({ preventScroll: true });
      event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) =>
      this.dragging ? move(event) : this.hover(event, point(event)),
    );
    const release = () => {
      if (this.moving !== null) {
        this.dragging = false;
        this.moving = null;
        this.tellMoved(true);
      } else if (this.dragging) {
        this.dragging = false;
        this.changed(true);
      }
    };
    svg.addEventListener("pointerup", release);
    svg.addEventListener("pointercancel", release);
    svg.addEventListener("pointerleave", () => {
      this.parts.tip.hidden = true;
    });
    this.parts.puck.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("keydown", (event) => {
      const member = event.target.dataset?.member;
      if (member === undefined || !event.key.startsWith("Arrow")) return;
      const i = Number(member),
        share = sharesOf(this.data.trained[i], this.free);
      this.moveMember(i, shifted(share, event.key, event.shiftKey ? 0.1 : 0.04), true);
      event.preventDefault();
    });
  }

  // A member of a plan goes to the planned policy nearest to `share`; regions and gap follow at once.
  moveMember(i, share, final) {
    const { data } = this,
      w = fullWeights(share, data.trained[i], this.free),
      far = (v) => v.reduce((sum, x, t) => sum + (x - w[t]) ** 2, 0);
    let row = 0;
    data.grid.forEach((v, j) => {
      if (far(v) < far(data.grid[row])) row = j;
    });
    data.trained = data.trained.map((v, j) => (j === i ? data.grid[row] : v));
    data.members = data.members.map((v, j) => (j === i ? data.gridPoints[row] : v));
    this.touched = i;
    this.drawn = null;
    this.paint();
    this.tellMoved(final);
  }

  // Where the members are now: their places on the grid.
  tellMoved(final) {
    clearTimeout(this.telling);
    const { data } = this,
      now = Date.now(),
      wait = final ? 0 : Math.max(200 - (now - (this.told || 0)), 0);
    const rows = data.trained.map((v) =>
      data.grid.findIndex((g) => g.every((x, t) => Math.abs(x - (v ? v[t] : -1)) < 1e-9)),
    );
    this.telling = setTimeout(() => {
      this.told = Date.now();
      this.sendMoved(rows);
    }, wait);
  }

  // The drawing is made anew: a member that was moved by keys keeps the focus.
  focusMoved() {
    if (this.touched === null || this.dragging) return;
    const dot = this.parts.svg.querySelector(`[data-member="${this.touched}"]`);
    this.touched = null;
    dot?.focus({ preventScroll: true });
  }

  set(raw) {
    this.remember();
    this.raw = raw.slice();
    this.changed(true);
  }

  // Called before the weights change by hand: Undo comes back here.
  remember() {
    const last = this.past.at(-1);
    if (last && last.every((x, i) => x === this.raw[i])) return;
    this.past.push(this.raw.slice());
    if (this.past.length > 50) this.past.shift();
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.raw = before;
    this.changed(true);
  }

  setShare(share, final) {
    const now = this.weights,
      left = this.free.reduce((s, i) => s + now[i], 0);
    if (left <= 1e-9) {
      // All weight is on traits that this triangle doesn't show: the heaviest takes a corner, or the mark couldn't move.
      this.free[this.free.length - 1] = now.indexOf(Math.max(...now));
      this.parts.held.replaceChildren();
      this.drawn = null;
      this.fillHeld();
      this.setShare(share, final);
      return;
    }
    // The sliders keep their height together: the first touch of the map must not make them jump.
    const w = fullWeights(share, now, this.free),
      total = this.raw.reduce((a, b) => a + b, 0) || 100;
    const height = Math.min(total, 100 / Math.max(...w));
    this.raw = w.map((x) => Math.round(10 * height * x) / 10);
    this.changed(final);
  }

  key(event) {
    if (event.key.startsWith("Arrow") || event.key === "Home") this.remember();
    const step = event.shiftKey ? 0.1 : 0.02,
      share = sharesOf(this.weights, this.free);
    if (event.key === "Home")
      this.setShare(
        share.map(() => 1 / share.length),
        true,
      );
    else if (["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key))
      this.setShare(shifted(share, event.key, step), true);
    else return;
    event.preventDefault();
  }

  hover(event, share) {
    const full = fullWeights(share, this.weights, this.free),
      box = this.parts.svg.parentElement.getBoundingClientRect();
    const pick = pickAt(this.data.members, this.data.candidates, full);
    const lost =
      pick.multiplicative === null
        ? `gap ${pick.gap.toFixed(4)}`
        : `loses ${percent(pick.multiplicative)}`;
    let text = `${inPercent(this.data.traits, full)}\npicked: ${this.data.names[pick.member]}\n${lost}`;
    if (this.data.field.kind !== "member")
      text += `\n${this.data.field.unit}: ${this.fieldAt(full).toFixed(4)}`;
    this.parts.tip.textContent = text;
    this.parts.tip.hidden = false;
    this.parts.tip.style.left = `${Math.min(event.clientX - box.left + 14, box.width - 190)}px`;
    this.parts.tip.style.top = `${event.clientY - box.top + 14}px`;
  }

  changed(final) {
    if (!this.frame)
      this.frame = requestAnimationFrame(() => {
        this.frame = null;
        this.paint();
      });
    clearTimeout(this.timer);
    const now = Date.now(),
      wait = final ? 0 : Math.max(150 - (now - (this.sent || 0)), 0);
    this.timer = setTimeout(() => {
      this.sent = Date.now();
      this.send(this.raw.slice());
    }, wait);
  }
}
