// Temperature and top-p on the logits that the model has for the reader's scene; draws of one token, and whole answers.
//
//     <div class="live-figure" data-figure="sampling" data-scene="sand.3_cat.56.40.48.0" data-prompt="detect cat">
"use strict"

VLM.part("sampling", () => {
  const { Matrix, softmax } = VLM.tensor
  const { filterTopP, chooseToken, randomNumbers } = VLM.generate

  // What chooseToken draws from: V probabilities. At temperature 0 the most likely token has 1.
  function distribution(logits, temperature, topP) {
    if (temperature > 0) return filterTopP(toProbabilities(logits, temperature), topP)
    const best = logits.reduce((most, logit, id) => (logit > logits[most] ? id : most), 0)
    return logits.map((_, id) => (id === best ? 1 : 0))
  }

  // The softmax of the logits divided by the temperature: V numbers
  function toProbabilities(logits, temperature = 1) {
    const scaled = logits.map((logit) => logit / temperature)
    return softmax(new Matrix(1, scaled.length, scaled)).data
  }

  // The ids of so many draws from one stream of random numbers
  function draw(logits, temperature, topP, seed, count) {
    const random = randomNumbers(seed)
    return Array.from({ length: count }, () => chooseToken(logits, temperature, topP, random))
  }

  // [["two", 19], ["three", 1]]: what there is and how often, the most frequent first
  function countEqual(values) {
    const counts = new Map()
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
    return [...counts].sort((a, b) => b[1] - a[1])
  }

  return { distribution, toProbabilities, draw, countEqual }
})

VLM.figures.define("sampling", (frame, data) => {
  const { distribution, toProbabilities, draw, countEqual } = VLM.sampling
  const { element, button } = VLM.dom
  const { slider, choice: list, check, keepFocus } = VLM.controls
  const { name, percent } = VLM.answerView
  const { svg } = VLM.plot

  const IDLE = "Press Ask, or move a toy. The first answer loads the model (3 MB); it runs in this page."
  const SHOWN = 40 // tokens in the chart
  const LISTED = 5 // tokens in the table
  const DRAWS = 20
  const SMALLEST = -5 // the logarithmic axis begins at 10 to the power of this
  const POWERS = ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1"]
  const MAX_NEW_TOKENS = 48
  const TASKS = ["caption", "detect", "count"]

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
    const choice = VLM.sceneChoice.create({
      frame,
      pictures,
      scene: data.scene,
      onChange: renew,
      onSelect: offerPrompts,
    })
    const { stage } = choice
    const asker = VLM.asker.create({ frame, makeRequest, onAnswer: keep })
    const prompts = list("Prompt", {}, () => asker.follow())
    const ask = button("Ask", () => asker.follow(), { class: "is-primary" })
    const tokens = element("div", { class: "vlm-chips", role: "group", "aria-label": "Tokens of the greedy answer" })
    const temperature = slider("Temperature", { min: 0, max: 4, step: 0.1, value: 1, show: (t) => t.toFixed(1) }, show)
    const topP = slider("Top-p", { min: 0.05, max: 1, step: 0.05, value: 1, show: (p) => p.toFixed(2) }, show)
    const isLinear = check("bars from 0 to 1, not by powers of ten", show)
    const says = element("p", { class: "vlm-says-why" })
    const table = element("table", { class: "vlm-numbers" })
    const drawTokens = button(`Draw ${DRAWS} tokens`, drawMany, { disabled: true })
    const drawAnswers = button(`Draw ${DRAWS} answers`, answerMany, { disabled: true })
    const drawn = element("div", { class: "vlm-drawn" })
    const x = { from: -0.7, to: SHOWN - 0.3, ticks: [], label: "tokens, the most likely first" }
    const byPowers = VLM.plot.create({
      ...{ x, ratio: 0.5 },
      y: { from: SMALLEST, to: 0.1, ticks: POWERS.map((_, i) => SMALLEST + i), names: POWERS, label: "probability" },
    })
    const linear = VLM.plot.create({
      x,
      ratio: 0.5,
      y: { from: 0, to: 1.02, ticks: [0, 0.25, 0.5, 0.75, 1], label: "probability" },
    })

    let answer = null // the greedy one, with its logits
    let step = 0 // of the token that is chosen in it
    let seed = 0 // of the next draws
    let many = null // the AbortController of the answers that are being drawn

    frame.say(IDLE)
    offerPrompts()
    frame.body.append(
      element(
        "div",
        { class: "vlm-column" },
        ...[
          stage.element,
          choice.select,
          element("div", { class: "vlm-ask" }, prompts.element, ask),
          frame.foot,
          table,
        ],
      ),
      element(
        "div",
        { class: "vlm-column" },
        ...[tokens, temperature.element, topP.element, byPowers.element, linear.element, isLinear.element, says],
      ),
      element("div", { class: "vlm-wide" }, element("p", { class: "vlm-row" }, drawTokens, drawAnswers), drawn),
      element("div", { class: "vlm-wide" }, choice.tools),
    )
    show()

    function offerPrompts() {
      const texts = new Set([...(data.prompt ? [data.prompt] : []), ...VLM.prompts.offer(TASKS, stage)])
      const chosen = prompts.value
      prompts.input.replaceChildren(...[...texts].map((text) => new Option(text)))
      if (texts.has(chosen)) prompts.value = chosen
    }

    function renew() {
      offerPrompts()
      asker.follow()
    }

    function makeRequest() {
      many?.abort()
      const request = { pixels: stage.rendering.pixels, prompt: prompts.value, maxNewTokens: MAX_NEW_TOKENS }
      return { ...request, record: ["logits"] }
    }

    function keep(found) {
      answer = found
      step = Math.min(step, answer.tokens.length - 1)
      frame.say("")
      drawn.replaceChildren()
      stage.element.classList.remove("is-crowded")
      stage.overlay.showDetections(answer.detections)
      drawTokens.disabled = drawAnswers.disabled = false
      offerTokens()
      show()
    }

    function offerTokens() {
      const buttons = answer.tokens.map((token, i) =>
        button(name(token), () => select(i), { "aria-pressed": String(i === step), "data-key": i }),
      )
      keepFocus(tokens, () => tokens.replaceChildren(...buttons))
    }

    function select(index) {
      step = index
      drawn.replaceChildren()
      offerTokens()
      show()
    }

    function logits() {
      const { data: all, shape } = answer.record.logits
      return all.subarray(step * shape[1], (step + 1) * shape[1])
    }

    // Gray is what the model has at temperature 1, blue what the token is drawn from.
    function show() {
      const plot = isLinear.value ? linear : byPowers
      linear.element.toggleAttribute("hidden", !isLinear.value)
      byPowers.element.toggleAttribute("hidden", isLinear.value)
      if (!answer) return
      const before = toProbabilities(logits())
      const after = distribution(logits(), temperature.value, topP.value)
      const order = Array.from(before.keys()).sort((a, b) => before[b] - before[a])
      const height = (probability) => (isLinear.value ? probability : Math.max(Math.log10(probability), SMALLEST))
      const bar = (i, probability, inset, className) => {
        const [left, right, top] = [plot.x(i - 0.5 + inset), plot.x(i + 0.5 - inset), plot.y(height(probability))]
        const size = { x: left, width: right - left, y: top, height: Math.max(plot.bottom - top, 0) }
        return svg("rect", { ...size, class: className })
      }
      const shown = order.slice(0, SHOWN)
      plot.draw(
        ...shown.map((id, i) => bar(i, before[id], 0.05, "vlm-bar-before")),
        ...shown.map((id, i) => bar(i, after[id], 0.25, "vlm-bar-after")),
      )
      const kept = after.filter((probability) => probability > 0).length
      const most = order[0]
      says.textContent =
        `Tokens that can be drawn: ${kept} of ${after.length}. The most likely one has ` +
        `${percent(after[most])}; at temperature 1 it has ${percent(before[most])}.`
      tabulate(order.slice(0, LISTED), before, after)
      frame.announce(says.textContent)
    }

    function tabulate(ids, before, after) {
      const rows = ids.map((id) => {
        const numbers = [before[id], after[id]].map((value) => element("td", {}, value === 0 ? "0" : percent(value)))
        return element("tr", {}, element("th", { scope: "row" }, element("code", {}, textOf(id))), ...numbers)
      })
      const heads = ["token", "of the model", "to draw from"].map((text) => element("th", { scope: "col" }, text))
      table.replaceChildren(element("tr", {}, ...heads), ...rows)
    }

    // The text of a token, if the answer names it: the chosen one or a runner-up.
    function textOf(id) {
      const known = [answer.tokens[step], ...answer.tokens[step].runnersUp].find((one) => one.id === id)
      return known ? name(known) : `#${id}`
    }

    function drawMany() {
      const ids = draw(logits(), temperature.value, topP.value, seed++, DRAWS)
      const counted = countEqual(ids).map(([id, count]) => `${textOf(id)} ${count} ×`)
      tell(`${DRAWS} draws of this token: ${counted.join(", ")}.`)
    }

    async function answerMany() {
      many?.abort()
      const mine = new AbortController()
      many = mine
      try {
        const engine = await frame.engine()
        const answers = []
        for (let i = 0; i < DRAWS; i++) {
          frame.say(`Answer ${i + 1} of ${DRAWS} …`)
          const sampled = { ...makeAnswer(), seed: seed++, signal: mine.signal }
          answers.push(await engine.ask(sampled))
        }
        frame.say("")
        showMany(answers)
      } catch (error) {
        if (error.name !== "AbortError") frame.sayError(error)
      }
    }

    function makeAnswer() {
      return {
        ...{ pixels: stage.rendering.pixels, prompt: prompts.value, maxNewTokens: MAX_NEW_TOKENS },
        ...{ temperature: temperature.value, topP: topP.value },
      }
    }

    function showMany(answers) {
      stage.element.classList.add("is-crowded")
      stage.overlay.showDetections(answers.flatMap(({ detections }) => detections))
      const counted = countEqual(answers.map(({ text }) => text.trim() || "(nothing)"))
      const items = counted.map(([text, count]) => element("li", {}, `${count} × `, element("code", {}, text)))
      tell(`${DRAWS} answers, ${counted.length} different:`, element("ol", {}, ...items))
    }

    function tell(text, ...more) {
      drawn.replaceChildren(element("p", {}, text), ...more)
      frame.announce(text)
    }
  }
})
