// The mask lab: which query may attend to which key, by the rule of vlm/attention_mask.py, cell by cell.
//
//     <div class="live-figure" data-figure="mask-lab" data-offers="padding image answer cached window rules"
//          data-padding="2" data-image="4" data-answer="5" data-cached="0" data-window="0">
//
// data-offers are the controls to show, all if it is left out; the numbers are where they begin.
"use strict"

VLM.part("maskLab", () => {
  const { makePrefixLmMask, makePositionIds } = VLM.model
  const { BUGS } = VLM.bugs

  // The rules to choose from: ours, and wrong ones that were shipped.
  const RULES = {
    right: { label: "prefix-LM, the right one", make: makePrefixLmMask },
    causal: { label: "wrong: plain causal", make: BUGS["causal-prefix"].options.makePrefixLmMask },
    everything: {
      label: "wrong: everything visible",
      make: (attentionMask, types) =>
        makePrefixLmMask(
          attentionMask,
          types.map(() => 0),
        ),
    },
    padding: { label: "wrong: padding visible", make: BUGS["padding-visible"].options.makePrefixLmMask },
  }

  // The suffix attends back only within the window, which counts the token itself; the prefix attends to all of itself.
  // mask: [S, T], 0 or the lowest number; tokenTypeIds: S
  function limitToWindow(mask, tokenTypeIds, window) {
    const blocks = VLM.tensor.cumsum(tokenTypeIds) // S
    const numCached = mask.width - mask.rows
    const isTooFar = (query, key) => blocks[query] > 0 && key <= numCached + query - window
    return mask.mapRows((row, query) => row.map((value, key) => (isTooFar(query, key) ? VLM.model.LOWEST : value)))
  }

  // A row of a batch: T tokens, the last S of which are read now.
  //     counts   { padding, image, prompt, answer, cached, window }; window 0 is none
  //     visible  [S][T] of booleans; positions [T]; kinds [T] of "padding", "image", "prompt", "answer"
  function layOut(counts, rule = "right") {
    const { padding, image, prompt, answer, cached, window } = counts
    const kinds = Object.entries({ padding, image, prompt, answer }).flatMap(([kind, n]) => Array(n).fill(kind))
    const numNew = cached ? answer - cached : kinds.length
    const attentionMask = kinds.map((kind) => (kind === "padding" ? 0 : 1)) // T
    const types = kinds.slice(-numNew).map((kind) => (kind === "answer" ? 1 : 0)) // S
    let mask = RULES[rule].make(attentionMask, types) // [S, T]
    if (window) mask = limitToWindow(mask, types, window)
    return {
      ...{ kinds, positions: makePositionIds(attentionMask, kinds.length), numNew },
      visible: Array.from({ length: numNew }, (_, query) => Array.from(mask.row(query), (value) => value === 0)),
    }
  }

  // Why a query attends to a key, or does not, under the right rule. query and key are indices of 0..T - 1.
  function explain({ kinds }, query, key, window) {
    if (kinds[key] === "padding") return "it is padding, which no token attends to"
    if (kinds[query] === "padding") return "padding may attend to what it likes: no token attends to padding"
    if (kinds[query] !== "answer") {
      if (kinds[key] === "answer") return "the image and the prompt do not attend to the answer"
      return "the image and the prompt attend to each other in full"
    }
    if (key > query) return "it comes later in the answer"
    if (window && key <= query - window) return `it is ${query - key} tokens back, and the window ends before that`
    if (key === query) return "a token attends to itself"
    return kinds[key] === "answer" ? "it comes earlier in the answer" : "the answer attends to the image and the prompt"
  }

  return { RULES, layOut, explain }
})

VLM.figures.define("mask-lab", (frame, data) => {
  const { RULES, layOut, explain } = VLM.maskLab
  const { element } = VLM.dom
  const { slider, choice } = VLM.controls

  const PROMPT = ["<bos>", "caption", "en", "⏎"]
  const WORDS = {
    padding: () => "<pad>",
    image: (i) => `image ${i}`,
    prompt: (i) => PROMPT[i],
    answer: (i) => ["two", "cats", "and", "a", "dog", "on", "sand", "<eos>"][i],
  }
  const RANGES = { padding: [0, 4], image: [1, 8], answer: [1, 8], cached: [0, 7], window: [0, 20] }
  const STARTS = { padding: 2, image: 4, answer: 5, cached: 0, window: 0 }
  const NAMES = {
    padding: "Padding",
    image: "Image tokens",
    answer: "Answer tokens",
    cached: "Of them in the cache",
    window: "Window",
  }
  const OFFERED = data.offers?.split(" ") ?? [...Object.keys(NAMES), "rules"]
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }

  const sliders = Object.entries(NAMES).map(([name, label]) => {
    const [min, max] = RANGES[name]
    const value = data[name] ?? STARTS[name]
    return [name, slider(label, { min, max, value, show: (n) => (name === "window" && n === 0 ? "none" : n) }, change)]
  })
  const rules = choice(
    "Rule",
    Object.fromEntries(Object.entries(RULES).map(([key, { label }]) => [key, label])),
    change,
  )
  const controls = Object.fromEntries([...sliders, ["rules", rules]])
  const table = element("table", {
    class: "vlm-mask",
    role: "grid",
    onkeydown: press,
    onclick: point,
    onpointerover: hover,
  })
  const says = element("p", { class: "vlm-says-why" })
  const summary = element("p", { class: "vlm-mask-summary" })
  let row = null // what layOut gives
  let chosen = null // a cell of the table

  frame.body.append(
    element("div", { class: "vlm-sliders" }, ...OFFERED.map((name) => controls[name].element)),
    element("div", { class: "vlm-scrolls" }, table),
    ...[summary, says],
  )
  change()

  function counts() {
    const values = Object.fromEntries(sliders.map(([name, { value }]) => [name, value]))
    return { ...values, prompt: PROMPT.length, cached: Math.min(values.cached, values.answer - 1) } // at least one token is new
  }

  function change() {
    row = layOut(counts(), rules.value)
    const right = layOut(counts())
    const first = row.kinds.length - row.numNew
    const keys = row.kinds.map((_, key) => key)
    const queries = keys.slice(first)
    chosen = null
    table.replaceChildren(
      element("thead", {}, makeKeys(keys)),
      element("tbody", {}, ...queries.map((query) => makeQuery(query, keys, row.visible[query - first], right))),
    )
    table.querySelector("[data-query]").tabIndex = 0
    says.textContent = "Point at a cell, or walk through the cells with the arrow keys: it says why."
    const all = row.visible.flat()
    const seen = all.filter(Boolean).length
    const wrong = all.filter((isSeen, i) => isSeen !== right.visible.flat()[i]).length
    summary.textContent =
      `${queries.length} ${queries.length === 1 ? "query" : "queries"}, ${keys.length} keys: ` +
      `${seen} of ${all.length} scores count.${wrong ? ` ${wrong} of them differ from the right mask (outlined).` : ""}`
    frame.announce(summary.textContent)
  }

  function makeKeys(keys) {
    const labels = keys.map((key) =>
      element("th", { scope: "col", class: `is-${row.kinds[key]}` }, element("span", {}, wordOf(key))),
    )
    return element("tr", {}, element("th", { class: "vlm-mask-corner" }, "query ↓ key →"), ...labels)
  }

  function makeQuery(query, keys, visible, right) {
    const first = row.kinds.length - row.numNew
    const cells = keys.map((key) => {
      const isWrong = visible[key] !== right.visible[query - first][key]
      const classes = [visible[key] ? "is-visible" : "is-masked", ...(isWrong ? ["is-wrong"] : [])]
      return element("td", {
        ...{ class: classes.join(" "), tabindex: -1, "data-query": query, "data-key": key },
        "aria-label": `${wordOf(query)} to ${wordOf(key)}: ${visible[key] ? "visible" : "masked"}`,
      })
    })
    const position = element("small", { title: "position id" }, row.positions[query])
    const label = element("th", { scope: "row", class: `is-${row.kinds[query]}` }, `${wordOf(query)} `, position)
    return element("tr", {}, label, ...cells)
  }

  function wordOf(index) {
    const kind = row.kinds[index]
    return WORDS[kind](index - row.kinds.indexOf(kind))
  }

  function hover(event) {
    if (event.pointerType === "mouse") point(event)
  }

  function point(event) {
    const cell = event.target.closest("[data-query]")
    if (cell) choose(cell)
  }

  function press(event) {
    const step = STEPS[event.key]
    const cell = event.target.closest("[data-query]")
    if (!step || !cell) return
    event.preventDefault()
    const [query, key] = [Number(cell.dataset.query) + step[0], Number(cell.dataset.key) + step[1]]
    const next = table.querySelector(`[data-query="${query}"][data-key="${key}"]`)
    if (!next) return
    cell.tabIndex = -1
    next.tabIndex = 0
    next.focus()
    choose(next)
  }

  function choose(cell) {
    chosen?.classList.remove("is-chosen")
    chosen = cell
    cell.classList.add("is-chosen")
    const [query, key] = [Number(cell.dataset.query), Number(cell.dataset.key)]
    const isVisible = cell.classList.contains("is-visible")
    const does = isVisible ? "attends" : "does not attend"
    const why = explain(row, query, key, counts().window)
    const should = cell.classList.contains("is-wrong") ? `, but should${isVisible ? " not" : ""}` : ""
    says.textContent = `“${wordOf(query)}” ${does} to “${wordOf(key)}”${should}: ${why}.`
    frame.announce(says.textContent)
  }
})
