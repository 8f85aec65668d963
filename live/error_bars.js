// How far each module's output is from the right one: a bar for each module on a logarithmic axis that never rescales.
//
//     const bars = VLM.errorBars.create()
//     bars.element
//     bars.show(errors)    [{ name, error }] of engine.compare
//     VLM.errorBars.firstOf(errors)   the first module that differs, in words, or null
"use strict"

VLM.part("errorBars", () => {
  const { element } = VLM.dom

  const SMALLEST = -6 // the axis begins at 10 to the power of this
  const LARGEST = 1
  const WORDS = {
    "vision_tower.embeddings": "tower, embeddings",
    "vision_tower.layers.": "tower, layer ",
    multi_modal_projector: "projector",
    "language_model.embed": "merged embeddings",
    "language_model.layers.": "layer ",
    "language_model.lm_head": "logits",
  }
  const TICKS = { "-6": "10⁻⁶", "-3": "10⁻³", 0: "1" }

  function create() {
    const list = element("ol", { class: "vlm-errors" })
    const ticks = Object.entries(TICKS).map(([power, text]) =>
      element("span", { style: `left: ${100 * fraction(10 ** power)}%` }, text),
    )
    const axis = element("div", { class: "vlm-errors-axis", "aria-hidden": "true" }, ...ticks)
    const rows = new Map()

    function makeRow(name) {
      const [bar, value] = [element("span", { class: "vlm-error-bar" }), element("small")]
      const track = element("span", { class: "vlm-error-track" }, bar)
      const row = element("li", { title: name }, element("span", {}, inWords(name)), track, value)
      list.append(row)
      rows.set(name, { row, bar, value })
    }

    function show(errors) {
      chart.hidden = false
      const first = errors.find(({ error }) => error > 0)
      for (const { name, error } of errors) {
        if (!rows.has(name)) makeRow(name)
        const { row, bar, value } = rows.get(name)
        bar.style.width = `${100 * fraction(error)}%`
        value.textContent = inDigits(error)
        row.classList.toggle("is-first", name === first?.name)
      }
    }

    const title = element("p", {}, "Relative error of each module's output (both models read the right answer):")
    const chart = element("div", { class: "vlm-error-chart", hidden: true }, title, list, axis)
    return { element: chart, show }
  }

  // 0..1 along the axis
  function fraction(error) {
    const along = (Math.log10(error) - SMALLEST) / (LARGEST - SMALLEST)
    return Math.min(Math.max(along, 0), 1)
  }

  const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
  function inDigits(error) {
    if (error === 0) return "0"
    if (error >= 0.01) return error.toFixed(2)
    const [factor, power] = error.toExponential(0).split("e-")
    return `${factor} · 10⁻${[...power].map((digit) => DIGITS[digit]).join("")}`
  }

  function inWords(name) {
    return Object.entries(WORDS).reduce((words, [part, word]) => words.replace(part, word), name)
  }

  function firstOf(errors) {
    const first = errors.find(({ error }) => error > 0)
    return first ? inWords(first.name) : null
  }

  return { create, firstOf }
})
