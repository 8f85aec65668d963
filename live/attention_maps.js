// A small map for each layer (row) and head (column): where one position attends. Zero is transparent, and the scale is
// the same in every map. The image is gray, so that no toy has the color of attention. Below it are the text tokens,
// one cell for each.
//
//     const maps = VLM.attentionMaps.create({ onSelect, onKnock })    onSelect(); onKnock(layer, head), or leave it out
//     maps.element
//     maps.selected            [layer, head] of the one that is shown large
//     maps.draw({ picture, attention, position, numPatches, isOut })
//         picture      a canvas
//         attention    [layer] -> { data, shape: [heads, T, T] }
//         isOut        (layer, head) => whether this head is knocked out
//     VLM.attentionMaps.rowOf(attention, layer, head, position)    Float32Array [T]
//     VLM.attentionMaps.MOST   this weight and all above it are drawn opaque
"use strict"

VLM.part("attentionMaps", () => {
  const { element, button } = VLM.dom

  const MOST = 0.2
  const SIDE = 112 // pixels of a map
  const STRIP = { top: SIDE + 4, height: 14 } // the text tokens
  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }

  function create({ onSelect, onKnock }) {
    const grid = element("div", { class: "vlm-heads", role: "group", "aria-label": "Layers and heads" })
    const maps = { element: grid, selected: [0, 0] }
    let cells = [] // [layer][head] -> { canvas, show, knock }

    function build(attention, hasText) {
      const [numHeads] = attention[0].shape
      grid.style.setProperty("--heads", numHeads)
      grid.append(element("span"), ...range(numHeads).map((head) => element("span", {}, `head ${head}`)))
      cells = attention.map((_, layer) => {
        grid.append(element("span", { class: "vlm-heads-row" }, `layer ${layer}`))
        return range(numHeads).map((head) => makeCell(layer, head, hasText))
      })
      mark()
    }

    function makeCell(layer, head, hasText) {
      const height = hasText ? STRIP.top + STRIP.height : SIDE
      const canvas = element("canvas", { width: SIDE, height, "aria-hidden": "true" })
      const show = button("", () => select(layer, head), { class: "vlm-head" })
      show.append(canvas)
      show.onkeydown = (event) => press(event, layer, head)
      const cell = element("div", { class: "vlm-head-cell" }, show)
      if (onKnock) {
        const knock = () => onKnock(layer, head)
        const title = `Knock out layer ${layer}, head ${head}`
        cell.append(button("×", knock, { class: "vlm-knock", title, tabindex: "-1", "aria-hidden": "true" }))
      }
      grid.append(cell)
      return { canvas, show, cell }
    }

    function select(layer, head) {
      maps.selected = [layer, head]
      mark()
      onSelect()
    }

    // The maps are one stop of the tab key: arrows go from one to the next, and Delete knocks one out.
    function press(event, layer, head) {
      if (event.key === "Delete" && onKnock) return onKnock(layer, head)
      const [down, right] = ARROWS[event.key] ?? [0, 0]
      const next = cells[layer + down]?.[head + right]
      if (!next || (down === 0 && right === 0)) return
      event.preventDefault()
      select(layer + down, head + right)
      next.show.focus()
    }

    function mark() {
      cells.forEach((row, layer) =>
        row.forEach(({ show }, head) => {
          const isSelected = layer === maps.selected[0] && head === maps.selected[1]
          show.setAttribute("aria-pressed", isSelected)
          show.tabIndex = isSelected ? 0 : -1
        }),
      )
    }

    maps.draw = ({ picture, attention, position, numPatches, isOut = () => false }) => {
      const gray = toGray(picture)
      if (cells.length === 0) build(attention, attention[0].shape[1] > numPatches)
      cells.forEach((row, layer) =>
        row.forEach(({ canvas, show, cell }, head) => {
          const weights = rowOf(attention, layer, head, position)
          drawMap(canvas.getContext("2d"), gray, weights, numPatches, position)
          cell.classList.toggle("is-out", isOut(layer, head))
          const toImage = sum(weights.subarray(0, numPatches))
          const words = isOut(layer, head) ? "knocked out" : `${VLM.answerView.percent(toImage)} to the image`
          show.setAttribute("aria-label", `Layer ${layer}, head ${head}: ${words}`)
        }),
      )
    }

    return maps
  }

  // A canvas [SIDE, SIDE] with the picture without its colors.
  function toGray(picture) {
    const gray = new OffscreenCanvas(SIDE, SIDE)
    const context = gray.getContext("2d")
    context.drawImage(picture, 0, 0, SIDE, SIDE)
    const image = context.getImageData(0, 0, SIDE, SIDE)
    for (let i = 0; i < image.data.length; i += 4) {
      const [red, green, blue] = image.data.subarray(i, i + 3)
      image.data.fill(0.3 * red + 0.6 * green + 0.1 * blue, i, i + 3)
    }
    context.putImageData(image, 0, 0)
    return gray
  }

  function drawMap(context, picture, weights, numPatches, position) {
    const { width, height } = context.canvas
    context.clearRect(0, 0, width, height)
    context.drawImage(picture, 0, 0)
    const patches = Math.sqrt(numPatches)
    const size = SIDE / patches
    const fill = (value, x, y, w, h) => {
      context.fillStyle = `rgba(${VLM.overlay.patchColor(value, MOST)})`
      context.fillRect(x, y, w, h)
    }
    for (let i = 0; i < numPatches; i++) {
      fill(weights[i], size * (i % patches), size * Math.floor(i / patches), size, size)
    }
    const cell = SIDE / (weights.length - numPatches)
    for (let i = numPatches; i < weights.length; i++) {
      fill(weights[i], cell * (i - numPatches), STRIP.top, cell, STRIP.height)
    }
    context.strokeStyle = "#888"
    if (weights.length > numPatches) context.strokeRect(0.5, STRIP.top + 0.5, SIDE - 1, STRIP.height - 1)
    if (position < numPatches) {
      frame(context, size * (position % patches), size * Math.floor(position / patches), size, size)
    } else {
      frame(context, cell * (position - numPatches), STRIP.top, cell, STRIP.height)
    }
  }

  // Black around white, to be seen on any ground.
  function frame(context, x, y, width, height) {
    context.strokeStyle = "#000"
    context.lineWidth = 3
    context.strokeRect(x, y, width, height)
    context.strokeStyle = "#fff"
    context.lineWidth = 1.5
    context.strokeRect(x, y, width, height)
    context.lineWidth = 1
  }

  function rowOf(attention, layer, head, position) {
    const { data, shape } = attention[layer]
    const start = (head * shape[1] + position) * shape[2]
    return data.subarray(start, start + shape[2])
  }

  const sum = (values) => values.reduce((total, value) => total + value, 0)
  const range = (length) => Array.from({ length }, (_, i) => i)

  return { create, rowOf, sum, MOST }
})
