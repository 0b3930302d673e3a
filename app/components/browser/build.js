// What the panel is made of: sliders, presets, map, bars, and the choice of corners.
class PanelParts {
  build(data) {
    this.data = data;
    this.structure = JSON.stringify([data.traits, data.layout]);
    const full = data.layout === "full",
      live = element("div", { class: "unseen", "aria-live": "polite" });
    this.parts = { live, sliders: [], bars: [] };
    const map = this.buildMap();
    this.host.replaceChildren(
      element(
        "div",
        { class: "atlas" },
        full
          ? element(
              "div",
              { class: "columns three" },
              this.buildControls(data),
              element("div", { class: "middle" }, this.buildSwitch(), map),
              this.buildCard(data),
              this.buildBars(data),
            )
          : map,
        live,
      ),
    );
  }

  buildControls(data) {
    this.parts.presets = element("div", { class: "chips", role: "group", "aria-label": "Presets" });
    const box = element(
      "section",
      { "aria-label": "Your weights" },
      element("h3", { text: "What matters to you?" }),
      this.parts.presets,
    );
    data.traits.forEach((trait, i) => {
      const id = `slider-${data.id}-${i}`,
        output = element("output", { for: id });
      const input = element("input", {
        type: "range",
        id,
        min: 0,
        max: 100,
        step: 1,
        oninput: () => {
          if (!this.sliding) this.remember();
          this.sliding = true;
          this.raw[i] = Number(input.value);
          this.changed(false);
        },
        onchange: () => {
          this.sliding = false;
          this.changed(true);
        },
      });
      this.parts.sliders.push([input, output]);
      box.append(
        element(
          "div",
          { class: "trait" },
          element("label", { for: id, text: trait }),
          output,
          input,
        ),
      );
    });
    this.parts.bar = element("div", { class: "weights", "aria-hidden": "true" });
    this.parts.bar.append(
      ...data.traitColours.map((colour) => element("div", { style: `background:${colour}` })),
    );
    this.parts.effective = element("div", { class: "quiet effective" });
    box.append(this.parts.bar, this.parts.effective);
    return box;
  }

  buildCard(data) {
    const { parts } = this;
    this.parts.gap = element("b", { "data-part": "gap" });
    this.parts.worst = element("b", { "data-part": "worst" });
    this.parts.average = element("b", { "data-part": "average" });
    this.parts.where = element("div", { class: "quiet" });
    this.parts.goWorst = element("button", {
      text: "Go there",
      onclick: () => this.set(this.data.worst.at.map((x) => 100 * x)),
    });
    parts.who = element("div", { class: "quiet" });
    parts.picked = element("div", { class: "picked", "data-part": "picked" });
    parts.words = element("div", { class: "words", "data-part": "words" });
    parts.about = element("div", { class: "quiet" });
    parts.question = element("div", { class: "question" });
    // A long text scrolls in its box: keys have to reach it.
    const box = (part, label) =>
      element("div", {
        class: "answer-text",
        "data-part": part,
        tabindex: 0,
        role: "group",
        "aria-label": label,
      });
    parts.answer = box("answer", "The answer");
    parts.before = box("before", "The answer before training");
    parts.beforeBox = element(
      "div",
      { class: "before" },
      element("div", { class: "quiet", text: "The model before training says" }),
      parts.before,
    );
    parts.answerBox = element("div", {}, parts.question, parts.answer, parts.beforeBox);
    parts.card = element(
      "section",
      { class: "card", "aria-label": "The answer" },
      parts.who,
      parts.picked,
      parts.words,
      parts.answerBox,
      element(
        "details",
        { class: "exact" },
        element("summary", { text: "Exact figures" }),
        element(
          "div",
          { class: "gaps" },
          element(
            "div",
            {},
            "Gap at your weights",
            this.parts.gap,
            element("div", {
              class: "quiet",
              text: `${data.unit} behind the best candidate (scope: ${data.scope})`,
            }),
          ),
          element(
            "div",
            {},
            "Worst gap anywhere",
            this.parts.worst,
            this.parts.where,
            this.parts.goWorst,
          ),
          element(
            "div",
            {},
            "Lost on average",
            this.parts.average,
            element("div", { class: "quiet", text: "by uniform users (scope: sampled)" }),
          ),
        ),
      ),
      element(
        "details",
        { class: "exact" },
        element("summary", { text: "About this model" }),
        parts.about,
      ),
    );
    return parts.card;
  }

  buildSwitch() {
    this.parts.modes = element("div", {
      class: "chips switch",
      role: "radiogroup",
      "aria-label": "What the map shows",
    });
    return this.parts.modes;
  }

  fillSwitch() {
    const labels = this.given.others.map(({ label }) => label);
    const button = (text, mode) =>
      element("button", {
        text,
        role: "radio",
        "aria-checked": String(mode === this.mode),
        onclick: () => {
          this.show(mode);
          this.parts.modes.querySelector("[aria-checked=true]").focus();
        },
      });
    this.parts.modes.replaceChildren(
      ...(labels.length
        ? [button(labels[0], labels[0]), button("This portfolio", ""), button(labels[1], labels[1])]
        : []),
    );
  }

  buildMap() {
    const svg = node("svg", { viewBox: "0 0 520 445", class: "map", role: "group" });
    this.parts.layer = node("g");
    this.parts.puck = node("g", {
      class: "puck",
      tabindex: 0,
      role: "slider",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    });
    this.parts.puck.append(
      node("circle", { r: 11, class: "halo" }),
      node("path", { d: "M-6,0H6M0,-6V6", class: "cross" }),
    );
    svg.append(this.parts.layer, this.parts.puck);
    this.parts.svg = svg;
    this.parts.tip = element("div", { class: "tip", hidden: "" });
    this.parts.title = element("h3", {});
    this.parts.legend = element("div", { class: "legend" });
    this.parts.held = element("div", { class: "held" });
    this.listen(svg);
    return element(
      "figure",
      { class: "figure", style: "margin:0" },
      this.parts.title,
      this.parts.held,
      svg,
      this.parts.tip,
      this.parts.legend,
      element(
        "details",
        { class: "exact" },
        element("summary", { text: "Download the map" }),
        downloads(this, "map", "map"),
      ),
    );
  }

  buildBars(data) {
    const box = element("div", { class: "bars" });
    data.traits.forEach((trait) => {
      box.append(element("div", { class: "group", text: trait }));
      this.parts.bars.push(
        [0, 1, 2].map(() => {
          const bar = element("div", { class: "bar" }),
            number = element("div", { class: "number" });
          box.append(element("div", { class: "row" }, bar, number));
          return [bar, number];
        }),
      );
    });
    this.parts.barLegend = element("div", { class: "legend" });
    return element(
      "section",
      { class: "wide" },
      element("h3", { text: "What you get of each trait, on average (0 to 1)" }),
      this.parts.barLegend,
      box,
      element(
        "details",
        { class: "exact" },
        element("summary", { text: "Download the bars" }),
        downloads(this, "bars", "trait bars"),
      ),
    );
  }

  fillPresets() {
    const key = `palm-atlas.${this.data.id}.presets`;
    let saved = [];
    try {
      saved = JSON.parse(localStorage.getItem(key) || "[]").filter(
        (p) => p.length === this.raw.length,
      );
    } catch {
      saved = [];
    }
    const keep = (list) => {
      try {
        localStorage.setItem(key, JSON.stringify(list));
      } catch {
        /* private window */
      }
      this.fillPresets();
    };
    const chip = (text, raw) => element("button", { text, onclick: () => this.set(raw) });
    this.parts.undo = element("button", {
      text: "Undo",
      "aria-label": "Undo the last change of the weights",
      onclick: () => this.undo(),
    });
    this.parts.presets.replaceChildren(
      this.parts.undo,
      element("button", {
        text: "Balanced",
        "aria-label": "Balanced: reset weights and corners",
        onclick: () => {
          this.free = this.data.traits.map((_, i) => i).slice(0, 3);
          this.parts.held.replaceChildren();
          this.drawn = null;
          this.fillHeld();
          this.set(this.raw.map(() => 50));
        },
      }),
      ...this.data.traits.map((t, i) =>
        chip(
          `All ${t}`,
          this.raw.map((_, j) => (i === j ? 100 : 0)),
        ),
      ),
      ...saved.map((raw) => {
        const w = normalise(raw);
        const made = chip(w.map((x) => Math.round(100 * x)).join(" · "), raw);
        made.setAttribute("aria-label", `Saved: ${inPercent(this.data.traits, w)}`);
        return made;
      }),
      element("button", {
        text: "Save",
        "aria-label": "Save these weights as a preset",
        onclick: () => keep([...saved, this.raw.slice()]),
      }),
      ...(saved.length
        ? [element("button", { text: "Clear saved", onclick: () => keep([]) })]
        : []),
    );
  }

  fillHeld() {
    const { traits } = this.data;
    if (traits.length <= 3) {
      this.parts.held.hidden = true;
      return;
    }
    if (this.parts.held.childElementCount) return;
    this.parts.heldAt = element("span", { class: "held-at" });
    this.parts.held.append(
      "Triangle over",
      ...this.free.map((chosen, corner) => {
        const pick = element(
          "select",
          {
            "aria-label": `Trait at corner ${corner + 1}`,
            onchange: () => {
              const other = this.free.indexOf(Number(pick.value));
              if (other >= 0) this.free[other] = this.free[corner];
              this.free[corner] = Number(pick.value);
              this.parts.held.replaceChildren();
              this.drawn = null;
              this.fillHeld();
              this.paint();
              this.sendCorners(this.free.slice());
            },
          },
          ...traits.map((t, i) => element("option", { value: i, text: t })),
        );
        pick.value = chosen;
        return pick;
      }),
      this.parts.heldAt,
    );
  }
}
