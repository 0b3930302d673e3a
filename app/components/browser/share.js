// The page that is shared: the same panel over the same data, and recorded answers, with no server behind it.
const shared = JSON.parse(document.getElementById("data").textContent);
const host = document.getElementById("panel"),
  answers = document.getElementById("answers"),
  chooser = document.getElementById("prompt");
let picked = -1;

function showAnswers() {
  const prompt = shared.answers[Number(chooser.value)];
  if (!prompt) return;
  const first = shared.view.names[picked];
  const order = [...prompt.answers].sort((a, b) => (b.policy === first) - (a.policy === first));
  answers.replaceChildren(
    ...order.map(({ policy, text, scores, colour }) => {
      const at = shared.view.names.indexOf(policy);
      const why =
        policy === first ? "picked at these weights" : at >= 0 ? "member" : "not a member";
      return element(
        "article",
        { class: "answer", style: `border-top-color:${colour}` },
        element("b", { text: policy }),
        element("div", { class: "quiet", text: why }),
        element("p", { text: text.trim() || "(the model answered nothing)" }),
        element("div", {
          class: "quiet",
          text: shared.view.traits.map((t, i) => `${t} ${scores[i].toFixed(2)}`).join(", "),
        }),
      );
    }),
  );
}

host.addEventListener("picked", (event) => {
  if (event.detail.pick.member === picked) return;
  picked = event.detail.pick.member;
  showAnswers();
});
chooser.append(...shared.answers.map(({ text }, i) => element("option", { value: i, text })));
chooser.addEventListener("change", showAnswers);
host.panel = new Panel(host, shared.view, () => {});
