// The answer, token by token: a button for each, and below them the token that is selected, with its runners-up.
//
//     const view = VLM.answerView.create({ onSelect })   onSelect(index), or onSelect(null)
//     view.element
//     view.clear(); view.add(token)    as the engine hands tokens over; the newest is shown below
//     view.show(tokens)                all of an answer at once; the selection stays where it was
//     view.selected                    index of the token that the reader has clicked, or null
"use strict"

VLM.part("answerView", () => {
  const { S } = VLM.scene
  const { element, button } = VLM.dom

  const EDGES = ["top", "left", "bottom", "right"] // the order of the four location tokens of a box
  const LAST_BIN = 1023
  const MASK_TOKENS = 16

  function create({ onSelect }) {
    const list = element("ol", { class: "vlm-tokens", "aria-label": "The answer's tokens" })
    const detail = element("div", { class: "vlm-token-detail" })
    const view = { element: element("div", { class: "vlm-answer" }, list, detail), selected: null }
    let tokens = []

    view.clear = () => {
      tokens = []
      view.selected = null
      list.replaceChildren()
      detail.replaceChildren()
    }

    view.add = (token) => {
      tokens.push(token)
      list.append(element("li", {}, makeButton(token, tokens.length - 1)))
      setTabStop(view.selected ?? 0)
      if (view.selected === null) showDetail(tokens.length - 1)
    }

    view.show = (all) => {
      const { selected } = view
      const hadFocus = list.contains(document.activeElement)
      view.clear()
      all.forEach(view.add)
      if (selected !== null && selected < all.length) select(selected)
      else showDetail(leastCertain(all))
      if (hadFocus) list.querySelector("[tabindex='0']")?.focus({ preventScroll: true })
    }

    const buttons = () => [...list.querySelectorAll("button")]

    function makeButton(token, index) {
      const one = button("", () => select(view.selected === index ? null : index), {
        class: token.isEnd ? "vlm-token is-end" : "vlm-token",
        style: `--probability: ${token.probability}`,
        "aria-pressed": "false",
        "aria-label": `${name(token).replace("␣", "space").trim()}, ${percent(token.probability)}`,
      })
      one.append(element("span", {}, name(token)), element("small", {}, percent(token.probability)))
      one.onkeydown = (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
        const next = step && buttons()[index + step]
        if (!next) return
        event.preventDefault()
        setTabStop(index + step)
        next.focus()
      }
      return one
    }

    // The tokens are one stop of the tab key; arrow keys go from one to the next.
    function setTabStop(index) {
      buttons().forEach((one, i) => (one.tabIndex = i === index ? 0 : -1))
    }

    function select(index) {
      view.selected = index
      buttons().forEach((one, i) => one.setAttribute("aria-pressed", i === index))
      if (index !== null) {
        setTabStop(index)
        showDetail(index)
      }
      onSelect(index)
    }

    function showDetail(index) {
      const token = tokens[index]
      if (!token) return detail.replaceChildren()
      const rows = [token, ...token.runnersUp].map((one, rank) =>
        element(
          "li",
          { class: rank === 0 ? "is-chosen" : "", style: `--probability: ${one.probability}` },
          element("code", {}, name(one)),
          element("span", { class: "vlm-bar" }),
          element("small", {}, percent(one.probability)),
        ),
      )
      const title = element("p", {}, `Token ${index + 1} of ${tokens.length} and its runners-up${explain(index)}`)
      detail.replaceChildren(title, element("ol", {}, ...rows))
    }

    // What the number of a location or mask token says, if the token is one.
    function explain(index) {
      let first = index
      while (first > 0 && kindOf(tokens[first - 1]) === kindOf(tokens[index])) first--
      if (kindOf(tokens[index]) === "seg") return `. It is mask token ${index - first + 1} of ${MASK_TOKENS}`
      if (kindOf(tokens[index]) !== "loc") return ""
      const bin = Number(tokens[index].text.slice(4, 8))
      const edge = EDGES[(index - first) % 4]
      const pixel = ((bin * S) / LAST_BIN).toFixed(1)
      return `. It is the ${edge} edge: step ${bin} of ${LAST_BIN}, pixel ${pixel} of ${S}; ten steps are about a pixel`
    }

    return view
  }

  // "loc", "seg", or null for a token of text.
  const kindOf = ({ text }) => /^<(loc)\d{4}>$|^<(seg)\d{3}>$/.exec(text)?.find((part, i) => i > 0 && part) ?? null

  // The index of the least probable token. Location tokens are last: their probability is spread over neighbors.
  function leastCertain(tokens) {
    const certainty = (token) => token.probability + (kindOf(token) === "loc" ? 1 : 0)
    return tokens.reduce((best, token, index) => (certainty(token) < certainty(tokens[best]) ? index : best), 0)
  }

  // A token as it is shown: the end of the answer, a space, or its text.
  function name({ text, isEnd }) {
    if (isEnd || text === "<eos>") return "end"
    if (text === "") return "…" // the first byte of a character that has several
    return text.trim() === "" ? "␣" : text
  }

  function percent(probability) {
    const value = 100 * probability
    return value < 0.1 ? "< 0.1 %" : `${value.toFixed(value < 9.95 ? 1 : 0)} %`
  }

  return { create, name, percent }
})
