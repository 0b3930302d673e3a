// On a phone Streamlit leaves its menu open over the page that was chosen from it: close it.
let shown;

export default function ({ data }) {
  const turned = shown !== undefined && shown !== data.page;
  shown = data.page;
  if (!turned || window.innerWidth >= 768) return;
  document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
}
