// The attention lab: look inside the model while it answers, and change what is there. `data-view` is one of the views,
// each of which is a file of its own:
//
//     tower    lab_tower.js    where a patch attends in the vision tower, by layer and head
//     heads    lab_heads.js    where a position of the language model attends; heads can be knocked out
//     merge    lab_heads.js    the same from a patch on, with the mask of a causal prefix as a switch
//     lens     lab_lens.js     the logit lens: what the model would predict if a layer were its last
//     brush    lab_brush.js    cover patches, and see the answer's probability move
//     cache    lab_cache.js    multiplications for each token, with and without a cache
//
//     <div class="live-figure" data-figure="attention-lab" data-view="heads" data-scene="..." data-prompt="caption en"
//          data-tasks="caption detect">
//
// A view is made by VLM.labViews[name]({ frame, stage, data, ask }) and has
//     parts           elements of the figure, from top to bottom
//     idle            the text before the model is loaded
//     hasPrompt       false if no prompt is needed, or left out
//     request         more for engine.ask, or left out
//     send            see asker.js, or left out
//     onStart, onToken, onAnswer    see asker.js
//     redraw()        the scene has changed
"use strict"

VLM.part("labViews", () => ({}))

VLM.figures.define("attention-lab", (frame, data) => {
  const { element, button } = VLM.dom

  const TASKS = data.tasks?.split(" ") ?? ["caption", "detect", "count"]
  const MAX_NEW_TOKENS = 60
  const BUSY = "The model answers …"

  frame.body.classList.add("vlm-lab", `is-${data.view}`)
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
    const view = VLM.labViews[data.view]({ frame, stage, data, ask })
    const { onStart, onToken, onAnswer, send } = view
    const asker = VLM.asker.create({ frame, makeRequest, onStart, onToken, onAnswer, send })

    const field = element("input", { type: "text", autocomplete: "off", spellcheck: "false", maxlength: 200 })
    field.value = data.prompt ?? "caption en"
    const form = element(
      "form",
      { class: "vlm-ask", onsubmit: submit },
      element("label", {}, "Prompt ", field),
      element("button", { type: "submit", class: "is-primary" }, "Ask"),
    )
    const chips = element("div", { class: "vlm-chips", role: "group", "aria-label": "Prompts to try" })
    let prompt = field.value // the one that was asked last
    let wasAsked = false

    frame.say(view.idle)
    frame.body.append(
      element("div", { class: "vlm-lab-question" }, ...(view.hasPrompt === false ? [] : [form]), choice.select, chips),
      ...view.parts,
      choice.tools,
    )
    chips.hidden = view.hasPrompt === false
    if (!frame.body.contains(stage.element)) {
      choice.tools.prepend(element("div", { class: "vlm-small-stage" }, stage.element))
    }
    frame.body.addEventListener("pointerdown", () => frame.engine().catch(frame.sayError), { once: true })
    offerPrompts()

    function offerPrompts() {
      const prompts = VLM.prompts.offer(TASKS, stage)
      chips.replaceChildren(...prompts.map((text) => button(text, () => submit(null, text))))
    }

    // The reader has changed something: ask again as soon as the model is free.
    function ask() {
      if (!wasAsked) frame.say(BUSY)
      asker.follow()
    }

    function submit(event, text = field.value.trim()) {
      event?.preventDefault()
      field.value = prompt = text
      field.setAttribute("aria-invalid", text === "")
      frame.say(BUSY)
      asker.ask()
    }

    function change() {
      offerPrompts()
      view.redraw()
      if (wasAsked) ask()
    }

    function makeRequest() {
      wasAsked = true
      return { pixels: stage.rendering.pixels, prompt, maxNewTokens: MAX_NEW_TOKENS, ...view.request }
    }
  }
})
