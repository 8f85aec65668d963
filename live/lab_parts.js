// Parts that several views of the attention lab have.
"use strict"

VLM.part("labParts", () => {
  const { element, button } = VLM.dom

  // A token in few letters.
  const label = (token) => VLM.answerView.name({ ...token, text: token.text.replaceAll("\n", "⏎") }).trim()

  // What the color of a patch means.
  function createScale() {
    const most = `${100 * VLM.attentionMaps.MOST} %`
    const bar = element("span", { class: "vlm-scale", "aria-hidden": "true" })
    return element("p", { class: "vlm-legend" }, "attention 0 ", bar, ` ${most} or more`)
  }

  // The text positions of an answer as buttons: what each holds, and what it predicts.
  // The stripe below a token is the weight that it gets.
  //     positions.show(answer, selected, weights)    weights: [T]
  function createPositions(onSelect) {
    const list = element("ol", { class: "vlm-positions", "aria-label": "Text positions: prompt and answer" })

    function show(answer, selected, weights) {
      const hadFocus = list.contains(document.activeElement)
      const items = textPositions(answer).map(({ position, holds, predicts }) => {
        const words = predicts === null ? holds : `${holds}, predicts ${predicts}`
        const attributes = {
          "aria-pressed": `${position === selected}`,
          "aria-label": `Position ${position}: ${words}`,
        }
        const one = button("", () => onSelect(position), { ...attributes, "data-position": position })
        one.style.setProperty("--stripe", `rgba(${VLM.overlay.patchColor(weights[position], VLM.attentionMaps.MOST)})`)
        one.append(element("span", {}, holds), element("small", {}, predicts === null ? " " : `→ ${predicts}`))
        return element("li", {}, one)
      })
      list.replaceChildren(...items)
      if (hadFocus) list.querySelector(`[data-position="${selected}"]`)?.focus()
    }

    return { element: list, show }
  }

  // [{ position, holds, predicts }] of all tokens that were read, without the image; predicts is null in the prompt.
  function textPositions({ prompt, tokens, numPatches }) {
    const held = [...prompt.texts.map((text) => ({ text })), ...tokens.slice(0, -1)]
    const all = held.map((token, position) => {
      const next = tokens[position - prompt.length + 1]
      return { position, holds: label(token), predicts: next ? label(next) : null }
    })
    return all.slice(numPatches)
  }

  return { label, createScale, createPositions, textPositions }
})
