// The shelf from which toys are taken, and the tools for the toy that is selected and for the scene.
"use strict"

VLM.part("sceneTools", () => {
  const { S, LEARNED, OFFERED, placeToy, randomScene, limit } = VLM.scene
  const { element, button } = VLM.dom

  const CLICK = 5 // pixels of the screen: a pointer that has come further drags
  const LARGEST_IMAGE = 1024 // the longer side of a reader's own image in pixels: a larger one is made smaller first

  // A button for each toy: a click puts it where there is room, a drag where it is let go.
  function createShelf({ stage, pictures, frame }) {
    const isFull = () => stage.scene.toys.length >= OFFERED.count
    const full = () => frame.say(`The scene is full: it holds ${OFFERED.count} toys. Remove one first.`)

    const add = (label) => {
      if (isFull()) return full()
      const toy = placeToy(stage.scene, label)
      stage.change(({ toys }) => toys.push(toy))
      stage.select(toy)
      frame.announce(`${label} added`)
    }

    const take = (event, label) => {
      const [startX, startY] = [event.clientX, event.clientY]
      const forget = () => {
        removeEventListener("pointermove", follow)
        removeEventListener("pointerup", forget)
        removeEventListener("pointercancel", forget)
      }
      const follow = (next) => {
        if (next.pointerId !== event.pointerId || !isOver(stage.element, next)) return
        if (Math.hypot(next.clientX - startX, next.clientY - startY) < CLICK) return
        forget()
        if (isFull()) return full()
        stage.dragFrom(next, placeToy(stage.scene, label))
      }
      addEventListener("pointermove", follow)
      addEventListener("pointerup", forget)
      addEventListener("pointercancel", forget)
    }

    const buttons = OFFERED.toys.map((label) => {
      const isKnown = LEARNED.toys.includes(label)
      const name = isKnown ? label : `${label} (the model has never seen one)`
      const image = element("img", {
        src: pictures[label].image.src,
        alt: "",
        width: 40,
        height: 40,
        draggable: "false",
      })
      const className = isKnown ? "vlm-shelf-toy" : "vlm-shelf-toy is-unknown"
      const one = button("", () => add(label), { class: className, title: name, "aria-label": `Add: ${name}` })
      one.append(image)
      one.onpointerdown = (event) => event.button === 0 && take(event, label)
      return one
    })
    return element("div", { class: "vlm-shelf", role: "group", "aria-label": "Toys to add" }, ...buttons)
  }

  function isOver(node, { clientX, clientY }) {
    const { left, right, top, bottom } = node.getBoundingClientRect()
    return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom
  }

  // Sliders and buttons for the selected toy. `tools.update()` after the selection or the toy has changed.
  function createToyTools({ stage, frame }) {
    const name = element("span", { class: "vlm-tools-name" })
    const edit = (change) => {
      const toy = stage.selected
      stage.change(({ toys }) => {
        change(toy, toys)
        limit(toy)
      })
    }
    const slider = (label, property, min, max, sign = 1) => {
      const input = element("input", { type: "range", min, max })
      input.oninput = () => edit((toy) => (toy[property] = sign * Number(input.value)))
      input.update = (toy) => (input.value = sign * toy[property])
      return { input, label: element("label", {}, `${label} `, input) }
    }
    const sliders = [
      slider("Size", "size", ...OFFERED.sizes),
      slider("Tilt", "tilt", -OFFERED.tilt, OFFERED.tilt, -1), // to the right is clockwise
    ]
    const move = (toys, toy, to) => toys.splice(to, 0, ...toys.splice(toys.indexOf(toy), 1))
    const buttons = [
      button("Mirror", () => edit((toy) => (toy.mirrored = !toy.mirrored))),
      button("To front", () => edit((toy, toys) => move(toys, toy, toys.length))),
      button("To back", () => edit((toy, toys) => move(toys, toy, 0))),
      button("Remove", () => {
        frame.announce(`${stage.selected.label} removed`)
        stage.change(({ toys }) => toys.splice(toys.indexOf(stage.selected), 1))
      }),
    ]
    const labels = sliders.map(({ label }) => label)
    const tools = element("fieldset", { class: "vlm-toy-tools" }, element("legend", {}, name), ...labels, ...buttons)
    tools.update = () => {
      tools.disabled = stage.selected === null
      name.textContent = stage.selected ? `The ${stage.selected.label}` : "No toy selected"
      if (stage.selected) for (const { input } of sliders) input.update(stage.selected)
    }
    tools.update()
    return tools
  }

  // Ground, a random scene, an image of the reader's own. `tools.update()` after the scene has changed.
  function createSceneTools({ stage, frame }) {
    const options = OFFERED.grounds.map((name) => new Option(name === "plain" ? "plain color" : name, name))
    const own = element("option", { value: "picture", hidden: true }, "your image")
    const ground = element("select", { "aria-label": "Ground" }, ...options, own)
    const color = element("input", { type: "color", value: "#808080", "aria-label": "Color" })
    const seed = () => Math.floor(10000 * Math.random())
    const setGround = () => {
      const isPlain = ground.value === "plain"
      const next = isPlain ? { name: "plain", color: color.value.slice(1) } : { name: ground.value, seed: seed() }
      stage.change((scene) => (scene.ground = next))
    }
    ground.onchange = setGround
    color.oninput = setGround

    const file = element("input", {
      type: "file",
      accept: "image/*",
      class: "vlm-spoken",
      tabindex: "-1",
      "aria-hidden": "true",
    })
    file.onchange = () => useImage(file.files[0], stage, frame)
    acceptDrops(stage, frame)

    const tools = element(
      "fieldset",
      { class: "vlm-scene-tools" },
      element("legend", {}, "The scene"),
      element("label", {}, "Ground ", ground),
      color,
      button("Random scene", () => stage.show(randomScene(Math.random))),
      button("Remove all", () => stage.change((scene) => (scene.toys = []))),
      button("Your image …", () => file.click()),
      file,
    )
    tools.update = () => {
      const { name, color: plain } = stage.scene.ground
      ground.value = name
      own.hidden = name !== "picture"
      color.hidden = name !== "plain"
      if (name === "plain") color.value = `#${plain}`
    }
    tools.update()
    return tools
  }

  function acceptDrops(stage, frame) {
    const place = stage.element
    place.ondragover = (event) => {
      event.preventDefault()
      place.classList.add("is-target")
    }
    place.ondragleave = () => place.classList.remove("is-target")
    place.ondrop = (event) => {
      event.preventDefault()
      place.classList.remove("is-target")
      useImage(event.dataTransfer.files[0], stage, frame)
    }
  }

  // The image becomes the ground, squeezed to S x S as the processor squeezes every image. It stays in the browser.
  async function useImage(file, stage, frame) {
    if (!file) return
    try {
      const image = await createImageBitmap(file)
      const scale = Math.min(LARGEST_IMAGE / Math.max(image.width, image.height), 1)
      const [width, height] = [image.width, image.height].map((side) => Math.max(Math.round(side * scale), 1))
      const context = new OffscreenCanvas(width, height).getContext("2d")
      context.drawImage(image, 0, 0, width, height)
      const { toRgb, resize } = VLM.processor
      const { data } = resize(toRgb(context.getImageData(0, 0, width, height)), S, S)
      stage.show({ ground: { name: "picture", pixels: data }, toys: [] })
    } catch {
      frame.sayError(new Error(`${file.name} is not an image that this browser can read. Try a PNG or JPEG file.`))
    }
  }

  return { createShelf, createToyTools, createSceneTools }
})
