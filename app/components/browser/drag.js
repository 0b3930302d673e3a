// The tolerance line of a chart, moved by hand: where it was let go is sent to the server.
const NAME = "tolerance";
const TRIES = 40;

export default function ({ data, setTriggerValue }) {
  listen(data.chart, (height) => setTriggerValue("height", height), TRIES);
}

// The chart may be drawn after this, and anew with every rerun.
function listen(chart, send, tries) {
  const figure = document.querySelector(`.st-key-${CSS.escape(chart)} .js-plotly-plot`);
  if (!figure?.on) {
    if (tries > 0) setTimeout(() => listen(chart, send, tries - 1), 100);
    return;
  }
  const first = !figure.sendHeight;
  figure.sendHeight = send;
  if (!first) return;
  figure.on("plotly_relayout", (change) => {
    const line = (figure.layout.shapes ?? []).findIndex((shape) => shape.name === NAME);
    const height = change[`shapes[${line}].y0`];
    if (Number.isFinite(height)) figure.sendHeight(height);
  });
}
