// The gates of the language model's MLPs: how open each is for one token, what it lets through, and what the answer
// is without it.
//
//     <div class="live-figure" data-figure="gates" data-scene="sand.3_cat.56.40.48.0" data-prompt="caption en">
"use strict"

VLM.part("gates", () => {
  const { geluTanh } = VLM.tensor
  const geluExact = VLM.bugs.BUGS["exact-gelu"].options.activation

  // The gates of one layer at one position, those that let the most through first.
  //     record   of an answer, with gates and proposals
  //     -> [{ gate, input, opening, proposal, through }], all numbers
  function rankGates({ gates, proposals }, layer, position) {
    const width = gates[layer].shape[1] // F
    const row = ({ data }) => data.subarray(position * width, (position + 1) * width)
    const proposed = row(proposals[layer])
    const ranked = Array.from(row(gates[layer]), (input, gate) => {
      const opening = geluTanh(input)
      return { gate, input, opening, proposal: proposed[gate], through: opening * proposed[gate] }
    })
    return ranked.sort((a, b) => Math.abs(b.through) - Math.abs(a.through))
  }

  // How open one gate is at each of the first N positions, the patches: [N]
  function openings({ gates }, layer, gate, numPatches) {
    const { data, shape } = gates[layer]
    return Float32Array.from({ length: numPatches }, (_, n) => geluTanh(data[n * shape[1] + gate]))
  }

  return { geluTanh, geluExact, rankGates, openings }
})

VLM.figures.define("gates", (frame, data) => {
  const { geluTanh, geluExact, rankGates, openings } = VLM.gates
  const { element, button } = VLM.dom
  const { slider, choice: list, check, keepFocus } = VLM.controls

  const IDLE = "Choose a patch. The first one loads the model (3 MB); it runs in this page."
  const LISTED = 8 // gates that let most through
  const MANY = 64
  const WIDEST = 3 // an opening that is drawn opaque
  const INPUTS = Array.from({ length: 121 }, (_, i) => i / 10 - 6)
  const MAX_NEW_TOKENS = 48
  const RECORD = ["gates", "proposals"]
  const thousandths = (x) => 1000 * (geluExact(x) - geluTanh(x))
  const digits = (value) => value.toFixed(2).replace("-", "−")

  frame.body.classList.add("vlm-similarity")
  frame.say("The toys are loading …")
  frame.whenNear(async () => {
    try {
      build(await VLM.pictures.load())
    } catch (error) {
      frame.sayError(error)
    }
  })

  function build(pictures) {
    const choice = VLM.sceneChoice.create({ frame, pictures, scene: data.scene, onChange: renew })
    const { stage } = choice
    const board = VLM.patchBoard.create({ stage, onSelect: select })
    const asker = VLM.asker.create({ frame, makeRequest, onAnswer: keep, send })
    const prompts = list("Prompt", {}, renew)
    const layers = list("Layer", { 0: "0" }, () => show())
    const gates = slider("Gate", { min: 0, max: 0, value: 0 }, () => selectGate(gates.value))
    const tokens = element("div", { class: "vlm-chips", role: "group", "aria-label": "Tokens of prompt and answer" })
    const says = element("p")
    const table = element("table", { class: "vlm-numbers" })
    const experiment = VLM.experiment.create()
    const change = VLM.tokenChange.create()
    const open = button("Open all gates", () => shutGates([]), { disabled: true })
    const shutMost = [LISTED, MANY].map((count) =>
      button(`Shut the first ${count}`, () => shutGates([...shut, ...first(count)]), { disabled: true }),
    )
    const curve = VLM.plot.create({
      x: { from: -6, to: 6, ticks: [-6, -3, 0, 3, 6], label: "what gate_proj gives" },
      y: { from: -1, to: 6, ticks: [0, 2, 4, 6], label: "opening" },
      ratio: 0.5,
    })
    const difference = VLM.plot.create({
      x: { from: -6, to: 6, ticks: [-6, -3, 0, 3, 6], label: "what gate_proj gives" },
      y: { from: -0.6, to: 0.6, ticks: [-0.5, 0, 0.5], label: "thousandths" },
      ratio: 0.2,
    })

    let shut = [] // [[layer, gate], ...]
    let answer = null // of the model with all gates open, with its record
    let position = null // of the token whose gates are shown
    let gate = null // the one that is selected

    gates.input.disabled = true
    frame.say(IDLE)
    offerPrompts()
    curve.draw(drawCurve())
    difference.draw(drawDifference())
    frame.body.append(
      element("div", { class: "vlm-column" }, board.element, tokens, prompts.element, choice.select, frame.foot),
      element(
        "div",
        { class: "vlm-column" },
        layers.element,
        gates.element,
        says,
        curve.element,
        element("p", {}, "Exact GELU minus the one with tanh:"),
        difference.element,
      ),
      element(
        "div",
        { class: "vlm-scrolls vlm-wide" },
        table,
        element("p", { class: "vlm-row" }, ...shutMost, open),
        change.element,
      ),
      element("div", { class: "vlm-wide" }, choice.tools),
    )
    choice.tools.prepend(element("div", { class: "vlm-small-stage" }, stage.element))

    function offerPrompts() {
      const texts = new Set([
        ...(data.prompt ? [data.prompt] : []),
        ...VLM.prompts.offer(["caption", "detect", "segment"], stage),
      ])
      const chosen = prompts.value
      prompts.input.replaceChildren(...[...texts].map((text) => new Option(text)))
      if (texts.has(chosen)) prompts.value = chosen
    }

    function renew() {
      answer = null
      offerPrompts()
      board.draw()
      if (position !== null) asker.follow()
    }

    function select(index) {
      position = index
      gate = null
      for (const one of tokens.children) one.setAttribute("aria-pressed", one.dataset.key === String(index))
      if (answer) show()
      else asker.follow()
    }

    function selectText(index) {
      board.mark(null)
      select(index)
    }

    function makeRequest() {
      return { pixels: stage.rendering.pixels, prompt: prompts.value, maxNewTokens: MAX_NEW_TOKENS, record: RECORD }
    }

    // Both the model with all gates and the one with some shut, see experiment.js.
    function send(engine, request) {
      return experiment.run(engine, request, shut.length ? { edits: { shutGates: shut } } : null)
    }

    function keep(found) {
      answer = found.before
      frame.say("")
      answer.record.gates.slice(layers.input.length).forEach(() => layers.input.append(new Option(layers.input.length)))
      gates.input.disabled = false
      gates.input.max = answer.record.gates[0].shape[1] - 1
      position = Math.min(position, answer.record.gates[0].shape[0] - 1)
      offerTokens()
      show()
      change.show(found)
    }

    function offerTokens() {
      const buttons = VLM.labParts.textPositions(answer).map(({ position: at, holds }) => {
        return button(holds, () => selectText(at), { "aria-pressed": String(at === position), "data-key": at })
      })
      keepFocus(tokens, () => tokens.replaceChildren(...buttons))
    }

    function show() {
      if (!answer) return
      const layer = Number(layers.value)
      const ranked = rankGates(answer.record, layer, position)
      if (gate === null) gate = ranked[0].gate
      gates.value = gate
      const one = ranked.find((other) => other.gate === gate)
      curve.draw(
        drawCurve(),
        ...ranked.map(({ input, opening }) => curve.dot(input, opening, { r: 2.5 })),
        curve.dot(one.input, one.opening, { r: 6, class: "is-dot is-warm" }),
      )
      difference.draw(
        drawDifference(),
        difference.dot(one.input, thousandths(one.input), { r: 5, class: "is-dot is-warm" }),
      )
      board.overlay.showPatches(
        openings(answer.record, layer, gate, answer.numPatches).map((x) => Math.max(x, 0)),
        WIDEST,
      )
      const wide = ranked.filter(({ opening }) => opening > 0.5).length
      says.textContent =
        `${wide} of the ${ranked.length} gates are open by more than 0.5 for this token. On the image: how open gate ` +
        `${gate} is at each patch.`
      for (const one of shutMost) one.disabled = false
      tabulate(ranked, layer)
      frame.announce(says.textContent)
    }

    function drawCurve() {
      return curve.line(INPUTS.map((x) => [x, geluTanh(x)]))
    }

    function drawDifference() {
      return difference.line(INPUTS.map((x) => [x, thousandths(x)]))
    }

    function tabulate(ranked, layer) {
      const head = ["gate", "gate_proj", "opening", "up_proj", "let through", "shut"]
      const rows = ranked.slice(0, LISTED).map((one) => {
        const toggle = check(`shut gate ${one.gate}`, () => flip([layer, one.gate]))
        toggle.element.classList.add("is-bare")
        toggle.input.dataset.key = `shut ${one.gate}`
        toggle.value = isShut([layer, one.gate])
        const attributes = { "aria-pressed": String(one.gate === gate), "data-key": `gate ${one.gate}` }
        const name = button(String(one.gate), () => selectGate(one.gate), attributes)
        const numbers = [one.input, one.opening, one.proposal, one.through]
        const cells = numbers.map((value) => element("td", {}, digits(value)))
        return element("tr", {}, element("th", { scope: "row" }, name), ...cells, element("td", {}, toggle.element))
      })
      const caption = element("caption", {}, "The gates that let most through for this token")
      const heads = element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))
      keepFocus(table, () => table.replaceChildren(caption, heads, ...rows))
      open.textContent = `Open all gates (${shut.length} shut)`
      open.disabled = shut.length === 0
    }

    function first(count) {
      const layer = Number(layers.value)
      return rankGates(answer.record, layer, position)
        .slice(0, count)
        .map((one) => [layer, one.gate])
    }

    function selectGate(next) {
      gate = next
      show()
    }

    const isSame = (a, b) => a[0] === b[0] && a[1] === b[1]
    const isShut = (pair) => shut.some((other) => isSame(other, pair))

    function flip(pair) {
      shutGates(isShut(pair) ? shut.filter((other) => !isSame(other, pair)) : [...shut, pair])
    }

    function shutGates(pairs) {
      shut = pairs.filter((pair, i) => pairs.findIndex((other) => isSame(other, pair)) === i)
      show()
      asker.follow()
    }
  }
})
