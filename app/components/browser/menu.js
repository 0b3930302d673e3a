// On a phone Streamlit leaves its menu open over the page that was chosen from it: close it.
let shown;

export default function ({ data }) {
  joinSteps();
  const opened = shown === undefined,
    turned = !opened && shown !== data.page;
  shown = data.page;
  if (window.innerWidth >= 768) return;
  if (turned) collapse();
  // A reload opens the menu again where it was open.
  else if (opened && isOpen()) closeSoon(10);
}

function collapse() {
  document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
}

function isOpen() {
  const menu = document.querySelector("[data-testid=stSidebar]");
  return Boolean(menu) && menu.getBoundingClientRect().right > 0;
}

// Its button comes a moment after it.
function closeSoon(tries) {
  collapse();
  if (tries && isOpen()) setTimeout(closeSoon, 200, tries - 1);
}

// Streamlit puts a page into the history by its bare address, and what it shows (the query) as a second step: Back would do
// nothing visible then. A bare address is completed in place.
function joinSteps() {
  const push = window.history.pushState;
  if (push.joins) return;
  const joined = (state, title, url) => {
    const now = new URL(window.location.href),
      next = new URL(url, now),
      here = next.pathname === now.pathname;
    const completes = here && now.search === "",
      goesOn = here && isSameSetting(now.searchParams, next.searchParams);
    if (!here) last = { name: "", at: 0 };
    if (completes || goesOn) window.history.replaceState(state, title, url);
    else push.call(window.history, state, title, url);
  };
  joined.joins = true;
  window.addEventListener("popstate", () => {
    last = { name: "", at: 0 };
  });
  window.history.pushState = joined;
}

// What sliders and fields of numbers change in the address: app/settings.py, IN_ADDRESS.
const SLID =
  /^(tolerate|covered|covered-share|beta|eps|delta|plan|hours|price|gpu|base-gb|adapter-mb|temperature|top-p|tokens|seed|mix-\d+)$/;
const TOGETHER = 2000;
let last = { name: "", at: 0 };

// Steps of one slider that follow each other quickly are one step of the history.
function isSameSetting(now, next) {
  const names = new Set([...now.keys(), ...next.keys()]),
    changed = [...names].filter((name) => now.get(name) !== next.get(name)),
    name = changed.length === 1 && SLID.test(changed[0]) ? changed[0] : "",
    same = name !== "" && name === last.name && Date.now() - last.at < TOGETHER;
  last = { name, at: Date.now() };
  return same;
}
