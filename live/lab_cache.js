// A view of the attention lab: the same answer with a KV cache and without one, and the multiplications of each token.
"use strict"

VLM.labViews.cache = ({ frame, stage }) => {
  const { element } = VLM.dom
  const MILLION = 1e6
  const MOST = 100 // millions of multiplications, the top of the axis
  const LONGEST = 40 // tokens, the end of the axis

  const plot = VLM.plot.create({
    x: { from: 0, to: LONGEST, ticks: [1, 10, 20, 30, 40], label: "token of the answer" },
    y: { from: 0, to: MOST, ticks: [0, 25, 50, 75, 100], label: "millions of multiplications" },
  })
  const table = element("table", { class: "vlm-numbers" })
  const words = { with: element("p", { class: "vlm-words" }), without: element("p", { class: "vlm-words" }) }
  let runs = { with: [], without: [] } // tokens so far

  function draw() {
    const dots = (tokens, attributes) =>
      tokens.map((token, i) => plot.dot(i + 1, token.multiplications / MILLION, attributes))
    plot.draw(...dots(runs.without, { class: "is-dot is-warm" }), ...dots(runs.with))
  }

  async function send(engine, request) {
    runs = { with: [], without: [] }
    table.replaceChildren()
    const add = (run) => (token) => {
      runs[run].push(token)
      draw()
      const text = runs[run].map((one) => one.text).join("")
      words[run].textContent = `${run} a cache: ${text}`
    }
    words.without.textContent = ""
    frame.say("The model answers with a cache, then without one …")
    const fast = await engine.ask(request, add("with"))
    const slow = await engine.ask({ ...request, cache: false }, add("without"))
    return { fast, slow }
  }

  function show({ fast, slow }) {
    const millions = (count) => `${(count / MILLION).toFixed(count < 10 * MILLION ? 1 : 0)} M`
    const row = (title, { multiplications, seconds }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, title),
        ...[millions(multiplications.prompt), millions(multiplications.tokens), `${seconds.tokens.toFixed(2)} s`].map(
          (text) => element("td", {}, text),
        ),
      )
    const head = ["", "first token", "all others", "their time"].map((text) => element("th", { scope: "col" }, text))
    table.replaceChildren(
      element("caption", {}, "Multiplications of the language model"),
      element("tr", {}, ...head),
      row("with a cache", fast),
      row("without", slow),
    )
    const ratio = (part) => (slow[part].tokens / fast[part].tokens).toFixed(0)
    frame.say(
      `${fast.text === slow.text ? "The answers are the same" : "The answers differ"}. Without a cache it takes ` +
        `${ratio("multiplications")} times the multiplications after the first token, and ${ratio("seconds")} times ` +
        `the time on your machine.`,
    )
  }

  return {
    parts: [
      element("div", { class: "vlm-lab-image" }, stage.element, frame.foot),
      element("div", { class: "vlm-lab-side" }, plot.element, legend(), words.with, words.without, table),
    ],
    idle: "Press Ask. The model (3 MB) loads into this page.",
    send,
    onAnswer: show,
    redraw() {},
  }

  function legend() {
    return element(
      "p",
      { class: "vlm-legend" },
      element("span", { class: "vlm-key" }),
      " with a cache ",
      element("span", { class: "vlm-key is-warm" }),
      " without",
    )
  }
}
