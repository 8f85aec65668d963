// Patch similarity: how alike the vectors of all patches are to that of one, before and after each layer of the tower.
//
//     <div class="live-figure" data-figure="similarity" data-scene="sand.3_cat.56.40.48.0">
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

  // What a patch shows, for each of N patches: a toy's kind if half of its pixels are of that kind, "ground" if none is
  // a toy's, else null. owner: Int8Array [S * S], the index of the toy at each pixel, -1 for the ground
  function findKinds(owner, toys, numPatches) {
    const [size, side] = [Math.sqrt(owner.length), Math.sqrt(numPatches)]
    const patch = size / side
    return Array.from({ length: numPatches }, (_, n) => {
      const counts = {}
      for (let i = 0; i < patch * patch; i++) {
        const [y, x] = [Math.floor(n / side) * patch + Math.floor(i / patch), (n % side) * patch + (i % patch)]
        const kind = toys[owner[y * size + x]]?.label ?? "ground"
        counts[kind] = (counts[kind] ?? 0) + 1
      }
      const [kind, count] = Object.entries(counts).sort((a, b) => b[1] - a[1])[0]
      if (kind === "ground") return count === patch * patch ? kind : null
      return count >= (patch * patch) / 2 ? kind : null
    })
  }

  // The mean of some patches' values, or null if there are none
  function meanOf(values, isMeant) {
    const meant = values.filter((_, n) => isMeant(n))
    return meant.length ? meant.reduce((sum, value) => sum + value, 0) / meant.length : null
  }

  return { toRow, findKinds, meanOf }
})

VLM.figures.define("similarity", (frame, data) => {
  const { toRow, findKinds, meanOf } = VLM.similarity
  const { element } = VLM.dom

  const IDLE = "Choose a patch. The first one loads the model (3 MB); it runs in this page."
  const RECORD = ["image_hidden_states", "image_features"]

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
    const choice = VLM.sceneChoice.create({ frame, pictures, scene: data.scene, onChange: change })
    const { stage } = choice
    const board = VLM.patchBoard.create({ stage, onSelect: select })
    const asker = VLM.asker.create({ frame, makeRequest, onAnswer: keep })
    const list = element("div", { class: "vlm-maps" })
    const table = element("table", { class: "vlm-numbers" })
    let maps = [] // one for each level
    let levels = null // [{ title, tensor }], of the scene as it is

    frame.say(IDLE)
    frame.body.append(
      element("div", { class: "vlm-column" }, board.element, choice.select, frame.foot),
      ...[
        list,
        element("div", { class: "vlm-scrolls vlm-wide" }, table),
        element("div", { class: "vlm-wide" }, choice.tools),
      ],
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
        title: i === 0 ? "embeddings" : `layer ${i - 1}`,
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
        maps[i].overlay.showPatches(
          values.map((value) => Math.max(value, 0)),
          1,
        )
        maps[i].mark(board.selected)
      })
      tabulate(found)
    }

    // The mean similarity to patches of the same kind, of other toys, and of the ground, by level.
    function tabulate(found) {
      const kinds = findKinds(stage.rendering.owner, stage.scene.toys, found[0].length)
      const kind = kinds[board.selected]
      const groups = {
        [kind]: (n) => kinds[n] === kind && n !== board.selected,
        "other toys": (n) => kinds[n] !== kind && kinds[n] !== null && kinds[n] !== "ground",
        ...(kind === "ground" ? {} : { ground: (n) => kinds[n] === "ground" }),
      }
      const means = Object.entries(groups).map(([name, isMeant]) => [name, found.map((one) => meanOf(one, isMeant))])
      const shown = kind === null ? [] : means.filter(([, values]) => values[0] !== null)
      const head = levels.map(({ title }) => element("th", { scope: "col" }, title))
      const write = (value) => element("td", {}, value.toFixed(2).replace("-", "−"))
      table.replaceChildren(
        element(
          "caption",
          {},
          kind ? "Mean similarity to the other patches of" : "This patch is part toy, part ground.",
        ),
        ...(kind ? [element("tr", {}, element("td"), ...head)] : []),
        ...shown.map(([name, values]) =>
          element("tr", {}, element("th", { scope: "row" }, name), ...values.map(write)),
        ),
      )
      frame.announce(
        shown
          .map(([name, values]) => `${name}: ${values[0].toFixed(2)}, in the end ${values.at(-1).toFixed(2)}`)
          .join("; "),
      )
    }
  }
})
