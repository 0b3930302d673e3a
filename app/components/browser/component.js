// The Streamlit side: called on mount and on every rerun; the panel lives on its element and keeps what the user does.
const VIEW_VERSION = 1;

export default function ({ data, parentElement, setStateValue }) {
  let host = parentElement.querySelector(".atlas-host");
  if (!host) {
    host = element("div", { class: "atlas-host" });
    parentElement.append(host);
  }
  if (data.version !== VIEW_VERSION) {
    host.textContent = "This page and the server are of different versions. Reload the page.";
    return;
  }
  const send = (raw) => {
    // A map of a plan, over some of the traits, says nothing about the user's weights.
    if (!data.follow) return;
    writeWeights(raw);
    setStateValue("raw", raw);
  };
  if (host.panel) {
    host.panel.send = send;
    host.panel.update(data);
  } else host.panel = new Panel(host, data, send);
  host.panel.sendMode = (mode) => setStateValue("mode", mode);
  host.panel.sendCorners = (corners) => setStateValue("corners", corners);
  host.panel.sendMoved = (rows) => setStateValue("moved", rows);
  if (data.follow) writeWeights(host.panel.raw);
}

// While sliders move; the server writes them with everything else that changes. Replaced, not pushed, or every move of a
// slider would be a step for Back.
function writeWeights(raw) {
  const url = new URL(window.location.href);
  const weights = raw.map((r) => Number(r.toFixed(1))).join("-");
  if (url.searchParams.get("w") === weights) return;
  url.searchParams.set("w", weights);
  window.history.replaceState(window.history.state, "", url);
}
