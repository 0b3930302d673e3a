// Elements and words. Every text is set as text, never as markup.
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

function inPercent(traits, w) {
  return traits.map((t, i) => `${t} ${Math.round(100 * w[i])} %`).join(", ");
}

function named(traits, w) {
  return traits.map((t, i) => `${t} ${w[i].toFixed(2)}`).join(", ");
}

// As the sentences of the server have it (analysis/story.py, loss_text).
function percent(x) {
  if (x > 0 && x < 0.001) return "less than 0.1 %";
  return `${(100 * x).toFixed(x > 0.9995 || x < 0.0005 ? 0 : 1)} %`;
}
