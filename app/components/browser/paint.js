// What the panel shows: the scene of the map, the puck, the card and the bars, from the data and the weights.
// For two, three, and more traits.
// Dots are named only where some member was trained somewhere.
function legend(data) {
  const dots = data.trained.some(Boolean)
    ? `dots: what each was trained for${data.traits.length > 3 ? " (faint: mostly for the other traits)" : ""}`
    : "";
  const line = data.traits.length === 2 ? "dotted line: best candidate" : "";
  return [line, dots].filter(Boolean).join("; ");
}

// A line of the legend without a colour.
function note(text) {
  return element("span", { text, style: "--c:transparent" });
}

class PaintedPanel extends PanelParts {
  // New data from the server. The sliders stay where the user has them, unless the server moved them.
  update(given) {
    // A member that is being moved is ahead of what the server knows.
    if (this.moving !== null) return;
    this.given = given;
    const data = this.chosen(given);
    if (JSON.stringify([data.traits, data.layout]) !== this.structure) {
      this.parts = {};
      this.raw = data.raw.slice();
      this.build(data);
    }
    if (data.moves !== this.moves && !this.dragging) {
      this.moves = data.moves;
      this.remember();
      this.raw = data.raw.slice();
    }
    // Most reruns bring nothing new: then nothing but the weights can have changed.
    this.takeCorners(data);
    const stamp = `${data.stamp} ${this.mode} ${this.cornersGiven}`,
      same = stamp === this.stamp;
    this.data = data;
    this.stamp = stamp;
    if (same) {
      this.paint();
      return;
    }
    this.drawn = null;
    this.parts.title.textContent = data.title;
    this.parts.legend.replaceChildren(
      ...data.names.map((name, i) =>
        element("span", { text: name, style: `--c:${data.colours[i]}` }),
      ),
      ...this.never(data),
      ...(data.where.length ? [note("striped: weights that don't count")] : []),
      ...(data.layout === "full" ? [note(legend(data))] : []),
    );
    if (data.layout === "full") {
      this.parts.worst.textContent = data.worst.additive.toFixed(4);
      this.parts.average.textContent = data.worst.average.toFixed(4);
      this.parts.where.textContent = data.worst.text;
      this.fillSwitch();
      this.fillPresets();
    }
    this.fillHeld();
    this.paint();
  }

  // Members that nobody's weights pick, on the map or beside it.
  never(data) {
    return data.idle.length
      ? [note(`picked by none of 20,000 users: ${data.idle.join(", ")}`)]
      : [];
  }

  // The data with what the switch says in place of the portfolio.
  chosen(given) {
    const other = given.others.find(({ label }) => label === this.mode);
    if (!other) this.mode = "";
    return other ? { ...given, ...other } : given;
  }

  show(mode) {
    this.mode = mode;
    this.update(this.given);
    this.sendMode(mode);
  }

  fieldAt(w) {
    const { field, members, candidates, rewards, other } = this.data,
      pick = pickAt(members, candidates, w);
    if (field.kind === "gap") return pick.gap;
    if (field.kind === "multiplicative") return pick.multiplicative ?? NaN;
    if (field.kind === "best") return pick.bestValue;
    if (field.kind === "trait") return rewards[pick.member][field.trait];
    return pick.value - bestOf(other, w).value;
  }

  // The slice only changes with the held traits: while the puck moves inside it, nothing but the puck is redrawn.
  drawScene(w) {
    const { data, free } = this,
      cut = (points) => slicePoints(points, w, free);
    const key = JSON.stringify(w.map((x, i) => (free.includes(i) ? 0 : Number(x.toFixed(6)))));
    if (this.drawn === key) return;
    this.drawn = key;
    const dots = data.trained.map((t) => {
      const part = t ? free.reduce((s, i) => s + t[i], 0) : 0;
      return part > 0.02 ? { at: sharesOf(t, free), part: 0.25 + 0.75 * part } : null;
    });
    const field =
      data.field.kind === "member"
        ? null
        : {
            ...data.field,
            at: (share) => this.fieldAt(fullWeights(share, w, free)),
            low: ["best", "difference"].includes(data.field.kind) ? undefined : 0,
            steps:
              data.field.kind === "trait" ? data.rewards.map((r) => r[data.field.trait]) : null,
          };
    (data.traits.length > 2 ? drawTriangle : drawSegment)(this.parts.layer, {
      members: cut(data.members),
      candidates: cut(data.candidates),
      names: data.names,
      colours: data.colours,
      dots,
      field,
      threshold: data.threshold,
      corners: free.map((i) => data.traits[i]),
      unit: data.unit,
      rival: data.rival,
      movable: data.grid.length > 0,
      // null: all count; empty: none of this slice do.
      where: data.where.length ? (shareBounds(data.where, w, free) ?? []) : null,
    });
    this.focusMoved();
  }

  paint() {
    const { data, parts } = this,
      w = this.weights,
      pick = pickAt(data.members, data.candidates, w);
    this.drawScene(w);
    const share = sharesOf(w, this.free),
      [x, y] =
        data.traits.length > 2
          ? toXY(share)
          : [64 + 416 * share[0], parts.layer.heightAt(share[0])];
    parts.puck.setAttribute("transform", `translate(${x.toFixed(2)},${y.toFixed(2)})`);
    parts.puck.setAttribute(
      "aria-label",
      `Weights on the map. Arrow keys move between ${data.traits.join(", ")}`,
    );
    parts.puck.setAttribute("aria-valuenow", Math.round(100 * w[this.free[0]]));
    const sentence = `${named(data.traits, w)}; picked ${data.names[pick.member]}. ${shareInWords(pick)}`;
    parts.puck.setAttribute("aria-valuetext", sentence);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      parts.live.textContent = sentence;
    }, 700);
    if (parts.heldAt) {
      const rest = data.traits.map((_, i) => i).filter((i) => !this.free.includes(i));
      parts.heldAt.textContent = `held: ${rest
        .map((i) => `${data.traits[i]} ${Math.round(100 * w[i])} %`)
        .join(", ")}`;
    }
    if (data.layout === "full") this.paintNumbers(w, pick);
  }

  paintAnswer(pick) {
    const { data, parts } = this,
      answer = data.answers[pick.member];
    parts.answerBox.hidden = !data.prompt;
    parts.question.textContent = data.prompt;
    parts.answer.textContent =
      answer === null || answer === undefined
        ? "No answer of this model to this question was recorded."
        : answer.trim() || "(the model answered nothing)";
    parts.beforeBox.hidden = !data.baseAnswer;
    parts.before.textContent = data.baseAnswer || "";
  }

  paintNumbers(w, pick) {
    const { data, parts } = this;
    parts.sliders.forEach(([input, output], i) => {
      input.value = this.raw[i];
      output.textContent = Math.round(this.raw[i]);
    });
    [...parts.bar.children].forEach((cell, i) => {
      cell.style.width = `${100 * w[i]}%`;
    });
    parts.undo.disabled = !this.past.length;
    parts.effective.textContent =
      `Your weights: ${inPercent(data.traits, w)}` +
      (this.raw.some((r) => r > 0)
        ? ""
        : ". All sliders are at zero: no preference is taken as equal weights.") +
      (counts(w, data.where) ? "" : ". They lie outside of those that count in this bundle.");
    parts.who.textContent = WHO[data.others.findIndex(({ label }) => label === this.mode) + 1];
    parts.picked.textContent = data.names[pick.member];
    parts.about.textContent = data.about[pick.member];
    parts.card.style.borderTopColor = data.colours[pick.member];
    parts.gap.textContent = pick.gap.toFixed(4);
    parts.words.textContent = shareInWords(pick);
    this.paintAnswer(pick);
    const rows = barRows(this);
    parts.barLegend.replaceChildren(
      ...rows.map(([name, colour]) => element("span", { text: name, style: `--c:${colour}` })),
    );
    for (const [t, group] of parts.bars.entries()) {
      for (const [i, [bar, number]] of group.entries()) {
        const value = rows[i] ? rows[i][2][t] : null;
        bar.style.cssText =
          value === null ? "display:none" : `width:${100 * value}%;background:${rows[i][1]}`;
        number.textContent = value === null ? "" : value.toFixed(2);
      }
    }
    this.host.dispatchEvent(new CustomEvent("picked", { detail: { pick, weights: w } }));
  }
}

// Over the card: whose answer it is, for the portfolio and for what stands in its place.
const WHO = ["Picked for you", "The best single model", "The best there is for you"];

function shareInWords(pick) {
  if (pick.multiplicative === null) {
    return "The best value here isn't positive, so no share of it is given.";
  }
  if (pick.gap < TIE) return "You lose nothing: no candidate is better for you.";
  return `You lose ${percent(pick.multiplicative)} of what the best candidate would give you.`;
}
