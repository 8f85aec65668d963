// "Break it": bugs that people shipped, as switches. The right model and the one with the bugs answer side by side, and
// a bar for each module says how far it is from the right one.
//
//     <div class="live-figure" data-figure="break-it" data-bugs="rotate-neighbors positions-restarted"
//          data-scene="sand.3_cat.56.40.48.0" data-prompt="detect cat" data-tasks="caption detect">
//
// data-bugs are the switches to offer, names of bugs.js; all if it is left out. data-tasks are the prompts to offer.
"use strict"

VLM.figures.define("break-it", (frame, data) => {
  const { BUGS } = VLM.bugs
  const { element, button } = VLM.dom

  const OFFERED = data.bugs?.split(" ") ?? Object.keys(BUGS)
  const TASKS = data.tasks?.split(" ") ?? ["caption", "detect", "segment", "count"]
  const PADDING = 8 // pads before the image, as in a batch with a longer prompt
  const MAX_NEW_TOKENS = 48 // two boxes of each of four kinds; what a bug repeats is cut here
  const IDLE = "Switch a bug on. The first comparison loads the model (3 MB); it runs in this page."

  frame.body.classList.add("vlm-break")
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
      onChange: change,
      onSelect: offerPrompts,
    })
    const { stage } = choice
    const asker = VLM.asker.create({
      ...{ frame, makeRequest, onAnswer: show },
      send: (engine, request) => engine.compare(request),
    })
    const right = VLM.answerText.create("Right model")
    const wrong = VLM.answerText.create("With bugs")
    const copy = createCopy(stage)
    const bars = VLM.errorBars.create()

    const switches = OFFERED.map(makeSwitch)
    const says = element("ul", { class: "vlm-says" })
    const padding = element("input", { type: "checkbox", onchange: change })
    const paddingLabel = element("label", {}, padding, ` put ${PADDING} pads before the image, as in a batch`)
    paddingLabel.hidden = !OFFERED.includes("padding-visible")
    const field = element("input", { type: "text", autocomplete: "off", spellcheck: "false", maxlength: 200 })
    field.value = data.prompt ?? "caption en"
    const form = element(
      "form",
      { class: "vlm-ask", onsubmit: submit },
      element("label", {}, "Prompt ", field),
      element("button", { type: "submit", class: "is-primary" }, "Compare"),
    )
    const chips = element("div", { class: "vlm-chips", role: "group", "aria-label": "Prompts to try" })

    let prompt = field.value // the one that was compared last
    frame.say(IDLE)
    frame.body.append(
      element("fieldset", { class: "vlm-bugs" }, element("legend", {}, "Bugs"), ...switches, paddingLabel, says),
      element("div", { class: "vlm-side" }, stage.element, right.element),
      element("div", { class: "vlm-side" }, copy.element, wrong.element),
      element("div", { class: "vlm-measured" }, frame.foot, bars.element),
      element("div", { class: "vlm-controls" }, form, chips, choice.select),
      choice.tools,
    )
    frame.body.addEventListener("pointerdown", () => frame.engine().catch(frame.sayError), { once: true })
    offerPrompts()
    copy.draw()

    function makeSwitch(name) {
      const one = button(BUGS[name].label, () => turn(one), { "aria-pressed": "false", "data-bug": name })
      return one
    }

    // Two bugs that exchange the same piece of the model cannot be on together.
    function turn(one) {
      const isOn = one.getAttribute("aria-pressed") === "false"
      one.setAttribute("aria-pressed", isOn)
      for (const other of switches) {
        if (isOn && other !== one && pieceOf(other) === pieceOf(one)) other.setAttribute("aria-pressed", false)
      }
      says.replaceChildren(...bugsOn().map((name) => element("li", {}, BUGS[name].says)))
      change()
    }

    const pieceOf = (one) => Object.keys(BUGS[one.dataset.bug].options)[0]

    function bugsOn() {
      const on = switches.filter((one) => one.getAttribute("aria-pressed") === "true")
      return on.map((one) => one.dataset.bug)
    }

    function offerPrompts() {
      const prompts = VLM.prompts.offer(TASKS, stage)
      chips.replaceChildren(...prompts.map((text) => button(text, () => submit(null, text))))
    }

    function submit(event, text = field.value.trim()) {
      event?.preventDefault()
      field.value = prompt = text
      field.setAttribute("aria-invalid", text === "")
      change()
    }

    function change() {
      frame.say("Both models answer …")
      offerPrompts()
      copy.draw()
      asker.follow()
    }

    function makeRequest() {
      return {
        ...{ pixels: stage.rendering.pixels, prompt, bugs: bugsOn(), maxNewTokens: MAX_NEW_TOKENS },
        padding: padding.checked ? PADDING : 0,
      }
    }

    function show(compared) {
      stage.overlay.showDetections(compared.right.detections)
      copy.overlay.showDetections(compared.wrong.detections)
      right.show(compared.right.tokens)
      wrong.show(compared.wrong.tokens, compared.right.tokens)
      bars.show(compared.errors)
      frame.say(judge(compared))
      frame.announce(`Right: ${compared.right.text}. With bugs: ${compared.wrong.text}.`)
    }
  }

  // The stage's picture again, for the boxes of the other model.
  function createCopy(stage) {
    const original = stage.element.querySelector("canvas")
    const { width, height } = original
    const canvas = element("canvas", { width, height, "aria-hidden": "true" })
    const overlay = VLM.overlay.create()
    const draw = () => requestAnimationFrame(() => canvas.getContext("2d").drawImage(original, 0, 0))
    return { element: element("div", { class: "vlm-stage" }, canvas, ...overlay.elements), overlay, draw }
  }

  function judge({ right, wrong, errors }) {
    const first = VLM.errorBars.firstOf(errors)
    if (first === null) return "No module differs from the right model."
    const answer = right.text === wrong.text ? "The answer stays the same" : "The answer changes"
    return `${answer}. The first module that differs: ${first}.`
  }
})
