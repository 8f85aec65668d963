// A scene of which one patch is chosen: by mouse, touch, or the arrow keys.
//
//     const board = VLM.patchBoard.create({ stage, onSelect })    stage: see stage.js; onSelect(index)
//     board.element
//     board.overlay               what is laid over the image, see overlay.js
//     board.selected              the index of the patch in reading order, or null
//     board.select(index)         calls onSelect; board.mark(index) does not, and null chooses none
//     VLM.patchBoard.createMap({ stage, title, onPoint })   small, without keys: { element, overlay, draw, mark(index) }
//
//     VLM.patchBoard.createPicture(stage)        the image alone: { element, overlay, draw }
//
// All show the stage's picture; draw() takes it over when the scene has changed.
"use strict"

VLM.part("patchBoard", () => {
  const { element, button } = VLM.dom

  const SIDE = 8 // patches in a row
  const STEPS = { ArrowUp: -SIDE, ArrowDown: SIDE, ArrowLeft: -1, ArrowRight: 1 }

  function create({ stage, onSelect }) {
    const picture = createPicture(stage)
    const patches = Array.from({ length: SIDE ** 2 }, (_, index) => {
      const label = `Patch in row ${Math.floor(index / SIDE)}, column ${index % SIDE}`
      const one = button("", () => board.select(index), { "aria-label": label, "aria-pressed": "false", tabindex: -1 })
      one.onkeydown = (event) => press(event, index)
      return one
    })
    patches[0].tabIndex = 0
    const grid = element("div", { class: "vlm-grid", role: "group", "aria-label": "The image's patches" }, ...patches)
    picture.element.append(grid)

    const board = { ...picture, selected: null }
    board.mark = (index) => {
      board.selected = index
      patches.forEach((one, i) => {
        one.setAttribute("aria-pressed", i === index)
        one.tabIndex = i === (index ?? 0) ? 0 : -1
      })
    }

    board.select = (index) => {
      board.mark(index)
      onSelect(index)
    }

    function press(event, index) {
      const next = index + (STEPS[event.key] ?? NaN)
      const isSide = event.key === "ArrowLeft" || event.key === "ArrowRight"
      if (!patches[next] || (isSide && Math.floor(next / SIDE) !== Math.floor(index / SIDE))) return
      event.preventDefault()
      board.select(next)
      patches[next].focus()
    }

    return board
  }

  function createMap({ stage, title, onPoint }) {
    const picture = createPicture(stage)
    const frame = element("div", { class: "vlm-grid-mark", hidden: true })
    picture.element.append(frame)
    picture.element.onpointerdown = (event) => {
      const { left, top, width } = picture.element.getBoundingClientRect()
      const [row, column] = [event.clientY - top, event.clientX - left].map((at) => Math.floor((at / width) * SIDE))
      onPoint(row * SIDE + column)
    }
    const caption = element("figcaption", {}, title)
    return {
      ...picture,
      element: element("figure", { class: "vlm-map" }, picture.element, caption),
      mark(index) {
        frame.hidden = false
        frame.style.top = `${(100 * Math.floor(index / SIDE)) / SIDE}%`
        frame.style.left = `${(100 * (index % SIDE)) / SIDE}%`
      },
    }
  }

  function createPicture(stage) {
    const original = stage.element.querySelector("canvas")
    const { width, height } = original
    const canvas = element("canvas", { width, height, "aria-hidden": "true" })
    const overlay = VLM.overlay.create()
    const drawNow = () => canvas.getContext("2d").drawImage(original, 0, 0)
    const draw = () => requestAnimationFrame(drawNow) // the stage draws in the next frame too, and before
    draw()
    return { element: element("div", { class: "vlm-stage" }, canvas, ...overlay.elements), overlay, draw }
  }

  return { create, createMap, createPicture, SIDE }
})
