// Two views of the attention lab: where a position of the language model attends, by layer and head. In "heads" heads
// can be knocked out, and all positions can be 1; in "merge" the mask can be causal in the prefix too.
"use strict"

{
  const SWITCHES = {
    "all positions 1": { edits: { allPositionsOne: true } },
    "causal prefix": { bugs: ["causal-prefix"] },
  }

  VLM.labViews.heads = (lab) => create(lab, { canKnock: true, offered: ["all positions 1"] })
  VLM.labViews.merge = (lab) => create(lab, { canKnock: false, offered: ["causal prefix"] })

  function create({ frame, stage, ask, data }, { canKnock, offered }) {
    const { rowOf, sum, MOST } = VLM.attentionMaps
    const { percent } = VLM.answerView
    const { element, button } = VLM.dom

    const experiment = VLM.experiment.create()
    const board = VLM.patchBoard.create({ stage, onSelect: select })
    const maps = VLM.attentionMaps.create({ onSelect: () => found && show(), onKnock: canKnock ? knock : undefined })
    const positions = VLM.labParts.createPositions(select)
    const changes = VLM.tokenChange.create()
    const switches = offered.map((label) => ({ change: SWITCHES[label], control: VLM.controls.check(label, ask) }))
    const knockButton = button("", () => knock(...maps.selected))
    const back = button("All heads back", restore)
    const out = new Set() // "layer head" of those that are knocked out
    let position = data.patch ? Number(data.patch) : null // the one whose attention is shown
    let found = null // of the experiment, for the scene as it is

    function select(index) {
      position = index
      if (found) show()
      else ask()
    }

    function knock(layer, head) {
      const key = `${layer} ${head}`
      if (!out.delete(key)) out.add(key)
      ask()
    }

    function restore() {
      out.clear()
      ask()
    }

    function changesOn() {
      const on = switches.filter((one) => one.control.value).map((one) => one.change)
      if (out.size) on.push({ edits: { knockOut: [...out].map((key) => key.split(" ").map(Number)) } })
      if (on.length === 0) return null
      return { bugs: on.flatMap((one) => one.bugs ?? []), edits: Object.assign({}, ...on.map((one) => one.edits)) }
    }

    function show() {
      const { before, after } = found
      const { numPatches } = before
      const { attention } = after.record
      const [length] = attention[0].shape.slice(-1)
      position = Math.min(position ?? before.prompt.length - 1, length - 1)
      board.mark(position < numPatches ? position : null)
      const [layer, head] = maps.selected
      const isOut = (one, other) => found.isOut.has(`${one} ${other}`)
      const picture = stage.element.querySelector("canvas")
      maps.draw({ picture, attention, position, numPatches, isOut })
      const weights = rowOf(attention, layer, head, position)
      board.overlay.showPatches(weights.subarray(0, numPatches), MOST)
      positions.show(before, position, weights)
      changes.show(found)
      knocking.hidden = false
      knockButton.textContent = isOut(layer, head) ? "Put this head back" : `Knock out layer ${layer}, head ${head}`
      back.disabled = found.isOut.size === 0
      frame.say(describe(weights, layer, head, isOut(layer, head)))
    }

    function describe(weights, layer, head, isOut) {
      const { prompt, numPatches } = found.before
      if (isOut) return `Layer ${layer}, head ${head} is knocked out: it adds nothing.`
      const held = VLM.labParts.textPositions(found.before).find((one) => one.position === position)
      const side = Math.sqrt(numPatches)
      const patch = `the patch in row ${Math.floor(position / side)}, column ${position % side}`
      const who = held ? `position ${position} (“${held.holds}”)` : patch
      const parts = { image: [0, numPatches], prompt: [numPatches, prompt.length], answer: [prompt.length] }
      const shares = Object.entries(parts).map(
        ([name, range]) => `${percent(sum(weights.subarray(...range)))} to the ${name}`,
      )
      return `Layer ${layer}, head ${head}: ${who} gives ${shares.slice(0, 2).join(", ")} and ${shares[2]}.`
    }

    const knocking = element("p", { class: "vlm-knocking", hidden: true }, ...(canKnock ? [knockButton, back] : []))
    knocking.append(...switches.map((one) => one.control.element))
    return {
      parts: [
        element("div", { class: "vlm-lab-wide" }, positions.element),
        element("div", { class: "vlm-lab-image is-gray" }, board.element, VLM.labParts.createScale(), frame.foot),
        maps.element,
        element("div", { class: "vlm-lab-wide" }, knocking, changes.element),
      ],
      idle: "Press Ask, then choose a position: a patch or a token. The model (3 MB) loads into this page.",
      request: { record: ["attention"] },
      async send(engine, request) {
        const isOut = new Set(out) // the current ones
        return { ...(await experiment.run(engine, request, changesOn())), isOut }
      },
      onAnswer(result) {
        found = result
        show()
        frame.announce(`Whole answer: ${percent(VLM.tokenChange.ofAll(found.after))}. Now: ${found.answer.text}`)
      },
      redraw() {
        found = null
        board.draw()
      },
    }
  }
}
