// The Streamlit side: called on mount and on every rerun; the panel lives on its element and keeps what the user does.
export default function ({ data, parentElement, setStateValue }) {
  let host = parentElement.querySelector(".atlas-host");
  if (!host) {
    host = element("div", { class: "atlas-host" });
    parentElement.append(host);
  }
  const send = (raw) => {
    // A map of a plan, over some of the traits, says nothing about the user's weights.
    if (!host.panel.data.follow) return;
    // The address follows at once; replaced, not pushed, or every move of a slider would be a step for Back.
    const url = new URL(window.location.href);
    url.searchParams.set("w", raw.map((r) => Number(r.toFixed(1))).join("-"));
    window.history.replaceState(window.history.state, "", url);
    setStateValue("raw", raw);
  };
  if (host.panel) {
    host.panel.send = send;
    host.panel.update(data);
  } else host.panel = new Panel(host, data, send);
}
