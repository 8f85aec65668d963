// Fewer bits: the same question to the model with its weights rounded to 7 bits and less. The page's own weights have 7
// (live/export.py), so that row is what the others are compared with.
//
//     <div class="live-figure" data-figure="eight-bits" data-scene="sand.3_cat.56.40.48.0" data-prompt="detect cat">
"use strict"

VLM.part("eightBits", () => {
  // Bytes of a model's weights. counts: engine.weights; scales and vectors have 4 bytes a number.
  function countBytes({ numbers, rows, matrices, vectors }, bits, perMatrix) {
    const scales = bits === 32 ? 0 : perMatrix ? matrices : rows
    return (numbers * bits) / 8 + 4 * (scales + vectors)
  }

  // The largest difference between two records of logits, { data, shape }
  function largestChange(logits, others) {
    return logits.data.reduce((most, value, i) => Math.max(most, Math.abs(value - others.data[i])), 0)
  }

  // Whether a model that read these tokens would have chosen each of them
  const wouldChoose = (tokens) => tokens.every(({ probability, runnersUp }) => probability >= runnersUp[0].probability)

  // How well an answer's boxes lie on those of another: the mean, over the other's boxes, of the largest IoU with one of
  // the same label. detections: [{ label, box }]
  function meanIou(detections, others) {
    const best = ({ label, box }) =>
      Math.max(0, ...detections.filter((one) => one.label === label).map((one) => iou(one.box, box)))
    return others.reduce((sum, other) => sum + best(other), 0) / others.length
  }

  // Boxes are [yMin, xMin, yMax, xMax].
  function iou(a, b) {
    const side = (axis) => Math.max(Math.min(a[axis + 2], b[axis + 2]) - Math.max(a[axis], b[axis]), 0)
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1])
    const shared = side(0) * side(1)
    return shared / (area(a) + area(b) - shared)
  }

  return { countBytes, largestChange, wouldChoose, meanIou }
})

VLM.figures.define("eight-bits", (frame, data) => {
  const { countBytes, largestChange, wouldChoose, meanIou } = VLM.eightBits
  const { element, button } = VLM.dom
  const { choice: list, check, keepFocus } = VLM.controls

  const IDLE = "Press Ask. The first answer loads the model (3 MB); it runs in this page."
  const SHIPPED = 7
  const BITS = [SHIPPED, 6, 5, 4, 3, 2]
  const MAX_NEW_TOKENS = 48
  const TASKS = ["detect", "caption", "segment", "count"]

  const megabytes = (bytes) => (bytes / 1e6).toFixed(2)

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
    const asker = VLM.asker.create({ frame, makeRequest, onAnswer: () => frame.say(""), send })
    const prompts = list("Prompt", {}, () => asker.ask())
    const ask = button("Ask", () => asker.ask(), { class: "is-primary" })
    const perMatrix = check("one scale for a whole matrix, not for each row", () => rows.length && asker.ask())
    const table = element("table", { class: "vlm-numbers" })
    let rows = [] // [{ bits, bytes, change, answer }], as far as they are known
    let shown = SHIPPED // the bits of the answer whose boxes are drawn

    frame.say(IDLE)
    offerPrompts()
    frame.body.append(
      element(
        "div",
        { class: "vlm-column" },
        ...[stage.element, choice.select, element("div", { class: "vlm-ask" }, prompts.element, ask)],
        ...[perMatrix.element, frame.foot],
      ),
      element("div", { class: "vlm-scrolls" }, table),
      element("div", { class: "vlm-wide" }, choice.tools),
    )

    function offerPrompts() {
      const texts = new Set([...(data.prompt ? [data.prompt] : []), ...VLM.prompts.offer(TASKS, stage)])
      const chosen = prompts.value
      prompts.input.replaceChildren(...[...texts].map((text) => new Option(text)))
      if (texts.has(chosen)) prompts.value = chosen
    }

    function renew() {
      offerPrompts()
      if (rows.length) asker.follow()
    }

    function makeRequest() {
      const request = { pixels: stage.rendering.pixels, prompt: prompts.value, maxNewTokens: MAX_NEW_TOKENS }
      return { ...request, record: ["logits"] }
    }

    // One row after another; the old rows stay until their successors are there.
    async function send(engine, request) {
      const isPerMatrix = perMatrix.value
      const right = await engine.ask(request)
      for (const [i, bits] of BITS.entries()) {
        frame.say(`${bits} bits …`)
        const rounding = bits === SHIPPED ? null : { bits, perMatrix: isPerMatrix }
        const read = rounding ? await engine.score({ ...request, rounding, suffix: right.text }) : right
        const isSame = wouldChoose(read.tokens)
        rows[i] = {
          ...{ bits, bytes: countBytes(engine.weights, bits, rounding && isPerMatrix) },
          change: largestChange(right.record.logits, read.record.logits),
          answer: isSame ? right : await engine.ask({ ...request, rounding, record: [] }),
        }
        tabulate(right, engine.weights)
      }
      const same = rows.filter(({ answer }) => answer.text === right.text).map(({ bits }) => bits)
      frame.announce(`The answer is the same with ${same.join(", ")} bits.`)
    }

    function tabulate(right, counts) {
      const caption = element("caption", {}, `In float32, without scales: ${megabytes(countBytes(counts, 32))} MB`)
      const heads = ["bits", "MB", "logits change", "answer"].map((text) => element("th", { scope: "col" }, text))
      const lines = rows.map(({ bits, bytes, change, answer }) => {
        const name = button(String(bits), () => draw(bits), {
          "aria-pressed": String(bits === shown),
          "data-key": bits,
        })
        const numbers = [megabytes(bytes), change.toFixed(1)]
        return element(
          "tr",
          {},
          element("th", { scope: "row" }, name),
          ...numbers.map((number) => element("td", {}, number)),
          element("td", { class: "is-text" }, describe(answer, right)),
        )
      })
      keepFocus(table, () => table.replaceChildren(caption, element("tr", {}, ...heads), ...lines))
      draw(shown)
    }

    // Numbers of boxes say little: how well they lie on the right ones says more.
    function describe({ detections, tokens }, right) {
      if (right.detections.length > 0 && detections.length > 0) {
        const labels = detections.map(({ label }) => label).join(", ")
        return `${labels}: mean IoU ${meanIou(detections, right.detections).toFixed(2)}`
      }
      const text = VLM.answerText.create("")
      text.show(tokens, right.tokens)
      return text.element
    }

    // The boxes of one row's answer
    function draw(bits) {
      shown = bits
      for (const one of table.querySelectorAll("button")) {
        one.setAttribute("aria-pressed", one.dataset.key === String(bits))
      }
      stage.overlay.showDetections(rows.find((row) => row.bits === bits)?.answer.detections ?? [])
    }
  }
})
