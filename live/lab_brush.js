// A view of the attention lab: cover patches with gray, by mouse, touch or keys, and see how probable each token of the
// answer still is.
"use strict"

VLM.labViews.brush = ({ frame, stage, ask }) => {
  const { element, button } = VLM.dom
  const { SIDE } = VLM.patchBoard
  const STEPS = { ArrowUp: -SIDE, ArrowDown: SIDE, ArrowLeft: -1, ArrowRight: 1 }

  const experiment = VLM.experiment.create()
  const changes = VLM.tokenChange.create()
  const picture = VLM.patchBoard.createPicture(stage)
  const patches = Array.from({ length: SIDE ** 2 }, (_, index) => makePatch(index))
  const grid = element(
    "div",
    { class: "vlm-grid vlm-brush", role: "group", "aria-label": "Patches to cover" },
    ...patches,
  )
  picture.element.append(grid)
  patches[0].tabIndex = 0

  function makePatch(index) {
    const label = `Cover the patch in row ${Math.floor(index / SIDE)}, column ${index % SIDE}`
    const one = button("", pressed, { "aria-label": label, "aria-pressed": "false", tabindex: "-1" })
    one.onkeydown = (event) => {
      const next = index + (STEPS[event.key] ?? NaN)
      const isSide = event.key === "ArrowLeft" || event.key === "ArrowRight"
      if (!patches[next] || (isSide && Math.floor(next / SIDE) !== Math.floor(index / SIDE))) return
      event.preventDefault()
      one.tabIndex = -1
      patches[next].tabIndex = 0
      patches[next].focus()
    }
    return one
  }

  const isCovered = (one) => one.getAttribute("aria-pressed") === "true"

  // By the keyboard: a click of the mouse has painted already.
  function pressed(event) {
    if (event.detail === 0) paint(event.currentTarget, !isCovered(event.currentTarget))
  }

  function paint(one, isOn) {
    if (!one || isCovered(one) === isOn) return
    one.setAttribute("aria-pressed", isOn)
    ask()
  }

  grid.onpointerdown = (event) => {
    if (event.button !== 0) return
    const isOn = !isCovered(patchAt(event))
    paint(patchAt(event), isOn)
    grid.setPointerCapture(event.pointerId)
    grid.onpointermove = (next) => paint(patchAt(next), isOn)
  }
  grid.onpointerup = grid.onpointercancel = () => (grid.onpointermove = null)

  function patchAt({ clientX, clientY }) {
    const { left, top, width } = grid.getBoundingClientRect()
    const [row, column] = [clientY - top, clientX - left].map((at) => Math.floor((at / width) * SIDE))
    const isInside = row >= 0 && row < SIDE && column >= 0 && column < SIDE
    return isInside ? patches[row * SIDE + column] : undefined
  }

  function setAll(isOn) {
    for (const one of patches) one.setAttribute("aria-pressed", isOn(one))
    ask()
  }

  function changesOn() {
    const covered = patches.flatMap((one, index) => (isCovered(one) ? [index] : []))
    return covered.length ? { edits: { coverPatches: covered } } : null
  }

  return {
    parts: [
      element(
        "div",
        { class: "vlm-lab-image" },
        picture.element,
        element(
          "p",
          { class: "vlm-knocking" },
          button("Uncover all", () => setAll(() => false)),
          button("Swap covered and open", () => setAll((one) => !isCovered(one))),
        ),
        frame.foot,
      ),
      element("div", { class: "vlm-lab-side" }, changes.element),
    ],
    idle: "Drag over the image to cover patches. The model (3 MB) loads into this page.",
    send: (engine, request) => experiment.run(engine, request, changesOn()),
    onAnswer(found) {
      const count = patches.filter(isCovered).length
      changes.show(found)
      frame.say(count === 0 ? "Drag over the image to cover patches." : `${count} of ${SIDE ** 2} patches are covered.`)
      frame.announce(`The model answers now: ${found.answer.text}`)
    },
    redraw: picture.draw,
  }
}
