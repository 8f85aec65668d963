// The probabilities of an answer's tokens before and after a change, and what the model answers now.
//
//     const view = VLM.tokenChange.create()
//     view.element
//     view.show({ before, after, answer })    of VLM.experiment
//     VLM.tokenChange.ofAll(answer)           the probability of the whole answer, <eos> included
"use strict"

VLM.part("tokenChange", () => {
  const { element } = VLM.dom
  const { name, percent } = VLM.answerView

  function create() {
    const list = element("ol", {
      class: "vlm-changes",
      "aria-label": "The answer's tokens before and after the change",
    })
    const whole = element("p")
    const now = VLM.answerText.create("The model answers now")

    function show({ before, after, answer }) {
      list.replaceChildren(...before.tokens.map((token, i) => makeRow(token, after.tokens[i].probability)))
      const [was, is] = [before, after].map((one) => percent(ofAll(one)))
      whole.textContent = `Probability of this whole answer: ${was} before, ${is} now.`
      now.show(answer.tokens, before.tokens)
    }

    return { element: element("div", { class: "vlm-change-view" }, list, whole, now.element), show }
  }

  // The bar is the probability now, the line across it that before.
  function makeRow(token, now) {
    const before = token.probability
    const bar = element("span", { class: "vlm-change-bar", "aria-hidden": "true" })
    const style = `--before: ${before}; --now: ${now}`
    return element("li", { style }, element("code", {}, name(token).trim()), bar, element("small", {}, percent(now)))
  }

  function ofAll({ tokens }) {
    return tokens.reduce((product, token) => product * token.probability, 1)
  }

  return { create, ofAll }
})
