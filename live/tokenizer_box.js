// The tokenizer at work: type a text, and see its tokens, or how they are merged from characters and bytes.
//
//     <div class="live-figure" data-figure="tokenizer" data-text="two kangaroos">
"use strict"

VLM.part("tokenizerBox", () => {
  // What a piece is: one byte, one character, several that were merged, or an added token such as <loc0512>.
  function kindOf({ text }) {
    if (/^<0x[0-9A-F]{2}>$/.test(text)) return "byte"
    if (/^<.+>$/.test(text)) return "added"
    return [...text].length === 1 ? "character" : "merged"
  }

  // Of two steps the index of the piece that is new in the second.
  function findMerge(before, after) {
    return after.findIndex((piece, i) => piece.id !== before[i].id)
  }

  // The tokens of one step, counted by kind
  function countKinds(pieces) {
    const counts = { merged: 0, character: 0, byte: 0, added: 0 }
    for (const piece of pieces) counts[kindOf(piece)]++
    return counts
  }

  return { kindOf, findMerge, countKinds }
})

VLM.figures.define("tokenizer", (frame, data) => {
  const { kindOf, findMerge, countKinds } = VLM.tokenizerBox
  const { element, button } = VLM.dom

  const IDLE = "Press Cut, or type. The first text loads the model with its vocabulary (3 MB); it runs in this page."
  const EXAMPLES = ["two cats and a turtle", "answer en is there a zebra?", "Turtleneck", "café 貓 🐢", "<loc0512> cat"]
  const NAMES = {
    merged: ["piece of several characters", "pieces of several characters"],
    character: ["single character", "single characters"],
    byte: ["byte", "bytes"],
    added: ["added token", "added tokens"],
  }

  const field = element("input", { type: "text", maxlength: 120, autocomplete: "off", spellcheck: "false" })
  const form = element(
    "form",
    { class: "vlm-ask", onsubmit: submit },
    element("label", {}, "Text ", field),
    element("button", { type: "submit", class: "is-primary" }, "Cut"),
  )
  const chips = EXAMPLES.map((text) => button(text, () => cut((field.value = text))))
  const list = element("ol", { class: "vlm-pieces", "aria-label": "Pieces of the text" })
  const merges = VLM.controls.slider("Merges", { min: 0, max: 0, value: 0 }, show)
  const says = element("p", { class: "vlm-says-why" })
  let steps = null // [[{ id, text }]], after each merge

  field.value = data.text ?? EXAMPLES[0]
  field.oninput = () => cut(field.value)
  merges.element.hidden = true
  frame.body.append(
    ...[form, element("div", { class: "vlm-chips", role: "group", "aria-label": "Texts to try" }, ...chips)],
    ...[frame.foot, list, merges.element, says],
  )
  frame.say(IDLE)

  function submit(event) {
    event.preventDefault()
    cut(field.value)
  }

  async function cut(text) {
    try {
      const engine = await frame.engine()
      const found = await engine.mergeSteps(text)
      if (text !== field.value) return // the reader has typed on
      steps = found
      frame.say("")
      merges.element.hidden = steps.length === 1
      merges.input.max = steps.length - 1
      merges.value = steps.length - 1
      show()
    } catch (error) {
      frame.sayError(error)
    }
  }

  function show() {
    const step = merges.value
    const pieces = steps[step]
    const isLast = step === steps.length - 1
    const newest = step > 0 ? findMerge(steps[step - 1], pieces) : -1
    list.replaceChildren(
      ...pieces.map((piece, i) => {
        const isNewest = i === newest && !isLast
        return element(
          "li",
          { class: `is-${kindOf(piece)}${isNewest ? " is-newest" : ""}` },
          element("code", {}, piece.text.replaceAll("\n", "⏎")),
          element("small", {}, piece.id),
        )
      }),
    )
    says.textContent = isLast ? summarize(pieces) : explain(step, newest)
    frame.announce(says.textContent)
  }

  function summarize(pieces) {
    const counts = Object.entries(countKinds(pieces)).filter(([, count]) => count > 0)
    const parts = counts.map(([kind, count]) => `${count} ${NAMES[kind][count === 1 ? 0 : 1]}`)
    const tokens = `${pieces.length} ${pieces.length === 1 ? "token" : "tokens"}`
    return `${[...field.value].length} characters, ${tokens}${parts.length ? `: ${parts.join(", ")}` : ""}.`
  }

  function explain(step, newest) {
    if (step === 0) return "Before the first merge: characters, and bytes for those that the vocabulary lacks."
    const [left, right] = steps[step - 1].slice(newest, newest + 2).map(({ text }) => text)
    return `Merge ${step}: “${left}” and “${right}” become “${left}${right}”, the learned pair that comes first in the list.`
  }
})
