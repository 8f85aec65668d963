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
      const text = token.isEnd ? "end" : token.text
      const name = `${text.trim() || "space"}, ${percent(token.probability)}`
      const one = button("", () => select(view.selected === index ? null : index), {
        class: token.isEnd ? "vlm-token is-end" : "vlm-token",
        style: `--probability: ${token.probability}`,
        "aria-pressed": "false",
        "aria-label": name,
      })
      one.append(element("span", {}, text), element("small", {}, percent(token.probability)))
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
      const rows = [token, ...token.runnersUp].map(({ text, probability }, rank) =>
        element("li", { class: rank === 0 ? "is-chosen" : "", style: `--probability: ${probability}` },
          element("code", {}, name(text)), element("span", { class: "vlm-bar" }), element("small", {}, percent(probability))),
      )
      const title = element("p", {}, `Token ${index + 1} of ${tokens.length}, and what it could have been${explain(index)}`)
      detail.replaceChildren(title, element("ol", {}, ...rows))
    }

    // What the number of a location token says, if the token is one.
    function explain(index) {
      const bin = binOf(tokens[index])
      if (bin === null) return ""
      let first = index
      while (first > 0 && binOf(tokens[first - 1]) !== null) first--
      const edge = EDGES[(index - first) % 4]
      return `. It is the ${edge} edge: ${bin} of ${LAST_BIN} steps, pixel ${((bin * S) / LAST_BIN).toFixed(1)} of ${S}`
    }

    return view
  }

  function binOf({ text }) {
    const match = /^\s*<loc(\d{4})>$/.exec(text)
    return match && Number(match[1])
  }

  const leastCertain = (tokens) =>
    tokens.reduce((best, token, index) => (token.probability < tokens[best].probability ? index : best), 0)

  const name = (text) => (text === "" ? "end" : text.trim() === "" ? "space" : text)

  function percent(probability) {
    const value = 100 * probability
    return `${value >= 99.95 ? 100 : value.toFixed(value < 9.95 ? 1 : 0)} %`
  }

  return { create, percent }
})
