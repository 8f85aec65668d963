// "Make a scene, ask it": a stage, a shelf of toys, prompts, and the answer. A scene and its prompt fit into a link.
//
//     <div class="live-figure" data-figure="playground" data-scene="sand.3_cat.56.40.48.0" data-prompt="detect cat"
//          data-tasks="caption detect segment">
//
// data-scene is a text as VLM.sceneText.toText writes it; data-tasks are the prompts to offer, all if it is left out.
"use strict"

VLM.figures.define("playground", (frame, data) => {
  const { LEARNED, strangeness } = VLM.scene
  const { fromText, toText } = VLM.sceneText
  const { EXAMPLES } = VLM.examples
  const { element, button } = VLM.dom

  const FIRST_SCENE = "sand.8_cat.74.80.50.0.m_dog.40.34.52.0_apple.30.86.30.0"
  const FIRST_PROMPT = "detect cat ; dog"
  const TASKS = data.tasks?.split(" ") ?? VLM.prompts.TASKS
  const IDLE =
    "Press Ask, or move a toy. The first answer loads the model (3 MB). It runs in this page; nothing is sent anywhere."
  const PRIVATE = "Your image stays in this browser."
  const MAX_NEW_TOKENS = 200 // eight toys with their masks have some 180
  const MOST_ATTENTION = 0.1 // of a patch, drawn opaque: always the same, so that maps can be compared

  frame.body.classList.add("vlm-playground")
  frame.say("The toys are loading …")
  if (isLink()) start()
  else frame.whenNear(start)

  async function start() {
    try {
      build(await VLM.pictures.load())
    } catch (error) {
      frame.sayError(error)
    }
  }

  function build(pictures) {
    frame.say(IDLE)
    const linked = readLink()
    const stage = VLM.stage.create({
      scene: linked?.scene ?? fromText(data.scene ?? FIRST_SCENE),
      ...{ pictures, announce: frame.announce },
      onChange: () => {
        update()
        if (following.checked) asker.follow()
      },
      onSelect: () => update(),
    })
    const shelf = VLM.sceneTools.createShelf({ stage, pictures, frame })
    const toyTools = VLM.sceneTools.createToyTools({ stage, frame })
    const sceneTools = VLM.sceneTools.createSceneTools({ stage, frame })
    const examples = element("select", { onchange: showExample }, new Option("choose one …", ""))
    examples.append(...EXAMPLES.map(({ title }, i) => new Option(title, i)))
    const view = VLM.answerView.create({ onSelect: showAttention })
    const asker = VLM.asker.create({ frame, makeRequest, onStart: clear, onToken: view.add, onAnswer: show })

    const field = element("input", { type: "text", autocomplete: "off", spellcheck: "false", maxlength: 200 })
    const chips = element("div", { class: "vlm-chips", role: "group", "aria-label": "Prompts to try" })
    const note = element("p", { class: "vlm-note" })
    const times = element("p", { class: "vlm-times" })
    const layers = element("select", { onchange: showAttention, "aria-label": "Layer" }, new Option("all", "all"))
    const looked = element("span")
    const attention = element("p", { class: "vlm-looked" }, looked, element("label", {}, "Layer: ", layers))
    const following = element("input", { type: "checkbox", checked: true })
    const asModel = element("input", { type: "checkbox", onchange: () => stage.seeAsModel(asModel.checked) })
    const form = element(
      "form",
      { class: "vlm-ask", onsubmit: submit },
      element("label", {}, "Prompt ", field),
      element("button", { type: "submit", class: "is-primary" }, "Ask"),
    )
    const options = element(
      "p",
      { class: "vlm-options" },
      element("label", {}, following, " answer again when the scene changes"),
      element("label", {}, asModel, " show the 112 × 112 pixels that the model sees"),
    )
    const link = button("Copy link", copyLink)
    sceneTools.append(link)

    let prompt = (field.value = linked?.prompt ?? data.prompt ?? FIRST_PROMPT) // the one that was asked last
    let answer = null

    frame.body.append(
      ...[stage.element, toyTools, element("div", { class: "vlm-below" }, shelf, note)],
      element(
        "div",
        { class: "vlm-question" },
        ...[element("label", { class: "vlm-scene-choice" }, "Example ", examples), form, chips, frame.foot],
        ...[view.element, attention, times],
      ),
      element("div", { class: "vlm-tools" }, sceneTools, options, stage.help),
    )
    frame.body.addEventListener("pointerdown", preload, { once: true })
    addEventListener("hashchange", openLink)
    showAttention()
    stage.select(stage.scene.toys[0] ?? null)
    if (linked) asker.ask()
    if (isLink()) frame.body.scrollIntoView({ block: "nearest" })

    function update() {
      const wanted = VLM.prompts.offer(TASKS, stage)
      if (wanted.join("\n") !== [...chips.children].map((chip) => chip.textContent).join("\n")) {
        chips.replaceChildren(...wanted.map((text) => button(text, () => askFor(text))))
      }
      const strange = strangeness(stage.scene, stage.rendering)
      note.textContent = strange.length === 0 ? "" : `Not in the training data: ${strange.join(", ")}.`
      if (stage.scene.ground.name === "picture") {
        const known = `${LEARNED.toys.length} toys and ${LEARNED.words.length} words on signs`
        note.textContent += ` The model knows ${known}, nothing else. ${PRIVATE}`
      }
      toyTools.update()
      sceneTools.update()
    }

    function showExample() {
      const { scene, prompt: asked } = EXAMPLES[examples.value]
      examples.value = ""
      prompt = asked
      stage.show(fromText(scene))
      askFor(asked)
    }

    function askFor(text) {
      field.value = text
      submit()
    }

    function submit(event) {
      event?.preventDefault()
      const isEmpty = field.value.trim() === ""
      field.setAttribute("aria-invalid", isEmpty)
      if (isEmpty) {
        frame.sayError(new Error("The prompt is empty. Write one, or choose one below the field."))
        return field.focus()
      }
      prompt = field.value.trim()
      asker.ask()
    }

    function makeRequest() {
      return { pixels: stage.rendering.pixels, prompt, maxNewTokens: MAX_NEW_TOKENS, record: ["attention"] }
    }

    function clear() {
      answer = null
      frame.say("")
      view.clear()
      stage.overlay.showDetections([])
      showAttention()
      times.textContent = ""
    }

    function show(newAnswer) {
      answer = newAnswer
      view.show(answer.tokens)
      stage.overlay.showDetections(answer.detections)
      const { image, prompt: reading, tokens } = answer.seconds
      const seconds = (value) => `${value.toFixed(2)} s`
      const parts = [
        image < 0.02 ? "The image was read before" : `${seconds(image)} for the image`, // the engine keeps the last one
        `${seconds(reading)} for the prompt`,
        `${seconds(tokens)} for ${count(answer.tokens.length, "token")}.`,
      ]
      times.textContent = parts.join(", ")
      if (layers.length === 1) answer.record.attention.forEach((_, layer) => layers.append(new Option(layer)))
      showAttention()
      if (field.getAttribute("aria-invalid") !== "true") frame.say("")
      frame.announce(describe(answer))
    }

    function showAttention() {
      const isShown = answer !== null && view.selected !== null
      attention.hidden = !isShown
      if (!isShown) return stage.overlay.showPatches(null)
      const values = VLM.attention.toImage(answer, view.selected, layers.value)
      stage.overlay.showPatches(values, MOST_ATTENTION)
      const total = values.reduce((sum, value) => sum + value, 0)
      looked.textContent =
        `While choosing this token, the model gave ${VLM.answerView.percent(total)} of its attention to the image. ` +
        `The pinker a patch, the more it got (full pink: ${100 * MOST_ATTENTION} % or more). `
    }

    function preload() {
      frame.engine().catch(frame.sayError)
    }

    async function copyLink() {
      if (stage.scene.ground.name === "picture") {
        return frame.say("A link cannot hold your own image: choose a ground first.")
      }
      const parameters = new URLSearchParams({ scene: toText(stage.scene), ask: field.value.trim() })
      history.replaceState(null, "", `#${parameters}`)
      try {
        await navigator.clipboard.writeText(location.href)
        frame.say("Link copied. It opens this scene, and the model answers your prompt.")
      } catch {
        frame.say("This page's address is now the link: copy it from the address bar.")
      }
    }

    function openLink() {
      const next = readLink()
      if (!next) return
      prompt = field.value = next.prompt
      stage.show(next.scene)
      asker.ask()
    }
  }

  // The fragment of the page's address: scene=sand.8_cat.74.80.50.0&ask=detect+cat
  function readFragment() {
    return new URLSearchParams(location.hash.slice(1))
  }

  function isLink() {
    return readFragment().has("scene")
  }

  // The scene and the prompt of the link, or null.
  function readLink() {
    const parameters = readFragment()
    if (!parameters.has("scene")) return null
    const scene = fromText(parameters.get("scene"))
    if (scene) return { scene, prompt: parameters.get("ask") || FIRST_PROMPT }
    frame.sayError(new Error("The link's scene cannot be read: it may be cut off. Here is another scene."))
    return null
  }

  const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`

  function describe({ text, detections }) {
    if (text.trim() === "") return "The model ended its answer at once: it found nothing."
    if (detections.length === 0) return `The model answers: ${text}`
    const found = detections.map(({ label, box, mask }) => {
      const [top, left, bottom, right] = box.map(Math.round)
      return `${label}${mask ? " with a mask" : ""}, from ${top} down and ${left} across to ${bottom} and ${right}`
    })
    return `The model found ${found.length}: ${found.join("; ")}`
  }
})
