// On a phone Streamlit leaves its menu open over the page that was chosen from it: close it.
let shown;

export default function ({ data }) {
  joinSteps();
  const turned = shown !== undefined && shown !== data.page;
  shown = data.page;
  if (!turned || window.innerWidth >= 768) return;
  document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
}

// Streamlit puts a page into the history by its bare address, and what it shows (the query) as a second step: Back would do
// nothing visible then. A bare address is completed in place.
function joinSteps() {
  const push = window.history.pushState;
  if (push.joins) return;
  const joined = (state, title, url) => {
    const next = new URL(url, window.location.href);
    const completes = next.pathname === window.location.pathname && window.location.search === "";
    if (completes) window.history.replaceState(state, title, url);
    else push.call(window.history, state, title, url);
  };
  joined.joins = true;
  window.history.pushState = joined;
}
