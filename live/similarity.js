// Patch similarity: how alike the vectors of all patches are to that of one, before and after each layer of the tower.
//
//     <div class="live-figure" data-figure="similarity" data-scene="sand.3_cat.56.40.48.0" data-patch="27">
"use strict"

VLM.part("similarity", () => {
  // Cosine of one row of a tensor { data, shape: [N, D] } with each row, [N]
  function toRow(tensor, index) {
    const width = tensor.shape[1]
    const row = (i) => tensor.data.subarray(i * width, (i + 1) * width)
    const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0)
    const length = (a) => Math.sqrt(dot(a, a))
    const one = row(index)
    return Float32Array.from({ length: tensor.shape[0] }, (_, i) => dot(one, row(i)) / (length(one) * length(row(i))))
  }

  return { toRow }
})

VLM.figures.define("similarity", (frame, data) => {
  const { loadToys } = VLM.scene
  const { toRow } = VLM.similarity
  const { element } = VLM.dom

  const IDLE = "Choose a patch. The first one loads the model (3 MB); it runs in this page."
  const RECORD = ["image_hidden_states", "image_features"]

  frame.body.classList.add("vlm-similarity")
  frame.say("The toys are loading …")
  frame.whenNear(async () => {
    try {
      build(await loadToys())
    } catch (error) {
      frame.sayError(error)
    }
  })

  function build(pictures) {
    const choice = VLM.sceneChoice.create({ frame, pictures, scene: data.scene, onChange: change })
    const { stage } = choice
    const board = VLM.patchBoard.create({ stage, onSelect: select })
    const asker = VLM.asker.create({ frame, makeRequest, onAnswer: keep })
    const list = element("div", { class: "vlm-maps" })
    const says = element("p", { class: "vlm-says-why" })
    let maps = [] // one for each level
    let levels = null // [{ title, tensor }], of the scene as it is

    frame.say(IDLE)
    frame.body.append(
      element("div", { class: "vlm-column" }, board.element, choice.select, frame.foot, says),
      ...[list, element("div", { class: "vlm-wide" }, choice.tools)],
    )
    choice.tools.prepend(element("div", { class: "vlm-small-stage" }, stage.element))

    function makeRequest() {
      return { pixels: stage.rendering.pixels, prompt: "caption en", maxNewTokens: 1, record: RECORD }
    }

    function change() {
      levels = null
      ;[board, ...maps].forEach((map) => map.draw())
      if (board.selected !== null) asker.follow()
    }

    function select() {
      if (levels) show()
      else asker.follow()
    }

    function keep({ record }) {
      const states = record.image_hidden_states.map((tensor, i) => ({
        title: i === 0 ? "embeddings" : `after layer ${i - 1}`,
        tensor,
      }))
      levels = [...states, { title: "projected", tensor: record.image_features }]
      frame.say("")
      show()
    }

    function show() {
      if (maps.length === 0) {
        maps = levels.map(({ title }) => VLM.patchBoard.createMap({ stage, title, onPoint: board.select }))
        list.append(...maps.map((map) => map.element))
      }
      const found = levels.map(({ tensor }) => toRow(tensor, board.selected))
      found.forEach((values, i) => {
        maps[i].overlay.showPatches(values.map((value) => Math.max(value, 0)), 1)
        maps[i].mark(board.selected)
        maps[i].say(` mean ${mean(values).toFixed(2)}`)
      })
      const [first, last] = [found[0], found.at(-2)].map(mean)
      says.textContent =
        `Mean similarity to all other patches: ${first.toFixed(2)} before the tower's layers, ` +
        `${last.toFixed(2)} after them.`
      frame.announce(says.textContent)
    }

    // Over the others: a patch is wholly similar to itself.
    const mean = (values) => (values.reduce((sum, value) => sum + value, 0) - 1) / (values.length - 1)
  }
})
