// A view of the attention lab: the logit lens. A row for each layer: what the model would predict, for each token of
// the answer, if that layer were its last.
"use strict"

VLM.labViews.lens = ({ frame, stage }) => {
  const { percent } = VLM.answerView
  const { label } = VLM.labParts
  const { element, button } = VLM.dom
  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }

  const table = element("table", { class: "vlm-lens" })
  const detail = element("div", { class: "vlm-token-detail" })
  let answer = null
  let cells = [] // [row][token] -> button
  let selected = [0, 0]

  function show(newAnswer) {
    answer = newAnswer
    const { tokens, record } = answer
    const head = tokens.map((token) => element("th", { scope: "col" }, label(token)))
    table.replaceChildren(
      element("caption", {}, "What the model would say after each layer; the bar is the probability"),
      element("thead", {}, element("tr", {}, element("td", {}, "answer"), ...head)),
      element("tbody", {}, ...makeRows(record.logit_lens, tokens)),
    )
    const last = cells.length - 1
    select(Math.min(selected[0], last), Math.min(selected[1], tokens.length - 1))
    frame.say("Choose a cell to see the runners-up.")
    frame.announce(`The model answers: ${answer.text}. ${last + 1} rows, one for the input and one for each layer.`)
  }

  function makeRows(lens, tokens) {
    cells = lens.map((best, row) => best.map((five, token) => makeCell(five[0], tokens[token], row, token)))
    return cells.map((row, index) => {
      const title = element("th", { scope: "row" }, index === 0 ? "input" : `layer ${index - 1}`)
      return element("tr", {}, title, ...row.map((cell) => element("td", {}, cell)))
    })
  }

  function makeCell(best, token, row, column) {
    const cell = button(label(best), () => select(row, column), {
      class: best.id === token.id ? "is-right" : "",
      style: `--probability: ${best.probability}`,
      "aria-label": `${label(best)}, ${percent(best.probability)}${best.id === token.id ? ", as in the answer" : ""}`,
    })
    cell.onkeydown = (event) => {
      const [down, right] = ARROWS[event.key] ?? [0, 0]
      const next = cells[row + down]?.[column + right]
      if (!next || (down === 0 && right === 0)) return
      event.preventDefault()
      select(row + down, column + right)
      next.focus()
    }
    return cell
  }

  function select(row, column) {
    selected = [row, column]
    cells.forEach((line, i) =>
      line.forEach((cell, j) => {
        const isSelected = i === row && j === column
        cell.setAttribute("aria-pressed", isSelected)
        cell.tabIndex = isSelected ? 0 : -1
      }),
    )
    const where = row === 0 ? "At the input of layer 0" : `After layer ${row - 1}`
    const title = element("p", {}, `${where}, for the token “${label(answer.tokens[column])}”:`)
    const rows = answer.record.logit_lens[row][column].map((one) =>
      element(
        "li",
        { class: one.id === answer.tokens[column].id ? "is-chosen" : "", style: `--probability: ${one.probability}` },
        element("code", {}, label(one)),
        element("span", { class: "vlm-bar" }),
        element("small", {}, percent(one.probability)),
      ),
    )
    detail.replaceChildren(title, element("ol", {}, ...rows))
  }

  return {
    parts: [
      element("div", { class: "vlm-lab-image" }, stage.element, frame.foot),
      element("div", { class: "vlm-lab-side" }, element("div", { class: "vlm-scrolls" }, table), detail),
    ],
    idle: "Press Ask. The model (3 MB) loads into this page.",
    request: { record: ["logit_lens"] },
    onAnswer: show,
    redraw() {},
  }
}
