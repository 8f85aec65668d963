// A view of the attention lab: point at a patch, and see where it attends in each layer and head of the vision tower.
"use strict"

VLM.labViews.tower = ({ frame, stage, ask, data }) => {
  const { rowOf, sum, MOST } = VLM.attentionMaps
  const { percent } = VLM.answerView
  const { element } = VLM.dom

  const board = VLM.patchBoard.create({ stage, onSelect: select })
  const maps = VLM.attentionMaps.create({ onSelect: () => attention && show() })
  let attention = null // of the scene as it is

  function select() {
    if (attention) show()
    else ask()
  }

  function show() {
    const [layer, head] = maps.selected
    const numPatches = attention[0].shape[1]
    const position = board.selected
    maps.draw({ picture: stage.element.querySelector("canvas"), attention, position, numPatches })
    const weights = rowOf(attention, layer, head, position)
    board.overlay.showPatches(weights, MOST)
    frame.say(describe(weights, layer, head))
  }

  function describe(weights, layer, head) {
    const side = Math.sqrt(weights.length)
    const [row, column] = [Math.floor(board.selected / side), board.selected % side]
    const near = weights.filter(
      (_, i) => Math.abs(Math.floor(i / side) - row) <= 1 && Math.abs((i % side) - column) <= 1,
    )
    return (
      `Layer ${layer}, head ${head}: the patch in row ${row}, column ${column} gives ${percent(sum(near))} of its ` +
      `attention to itself and its neighbors, and at most ${percent(Math.max(...weights))} to one patch.`
    )
  }

  return {
    parts: [
      element("div", { class: "vlm-lab-image is-gray" }, board.element, VLM.labParts.createScale(), frame.foot),
      maps.element,
    ],
    idle: "Click a patch of the image. The first click loads the model (3 MB); it runs in this page.",
    hasPrompt: false,
    request: { maxNewTokens: 1, record: ["image_attention"] },
    onAnswer({ record }) {
      attention = record.image_attention
      if (board.selected === null) board.select(Number(data.patch ?? 0))
      else show()
    },
    redraw() {
      attention = null
      board.draw()
    },
  }
}
