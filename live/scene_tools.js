// The shelf from which toys and a sign are taken, and the tools for the thing that is selected and for the scene.
"use strict"

VLM.part("sceneTools", () => {
  const { S, LEARNED, OFFERED, PAINTS, isSign, nameOf, limit } = VLM.scene
  const { randomScene, anySeed, placeToy, placeSign } = VLM.randomScene
  const { element, button } = VLM.dom
  const { choice } = VLM.controls

  const CLICK = 5 // pixels of the screen: a pointer that has come further drags
  const LARGEST_IMAGE = 1024 // the longer side of a reader's own image in pixels: a larger one is made smaller first
  const ICON = 40 // side in pixels of a picture on the shelf
  const SIGN = "sign"
  const GROUND_NAMES = { plain: "plain color", blur: "blurred shapes", picture: "your image" } // else as they are
  const NOTHING = { size: 40, tilt: 0, color: null } // what the tools show if nothing is selected
  const WITHOUT_SEED = ["plain", "picture"]

  // A button for each toy, and one for the sign: a click puts it where there is room, a drag where it is let go.
  function createShelf({ stage, pictures, frame }) {
    // The new thing, or null if the scene has no room for it.
    const make = (name) => {
      const { toys, sign } = stage.scene
      if (name === SIGN) return sign ? null : placeSign(stage.scene)
      return toys.length < OFFERED.count ? placeToy(stage.scene, name) : null
    }
    const full = (name) => {
      if (name === SIGN) return frame.say("There is a sign already: a scene has one at most.")
      frame.say(`The scene is full: it holds ${OFFERED.count} toys. Remove one first.`)
    }

    const add = (name) => {
      const thing = make(name)
      if (!thing) return full(name)
      stage.add(thing)
      frame.announce(`${name} added`)
    }

    const take = (event, name) => {
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
        const thing = make(name)
        if (!thing) return full(name)
        stage.dragFrom(next, thing)
      }
      addEventListener("pointermove", follow)
      addEventListener("pointerup", forget)
      addEventListener("pointercancel", forget)
    }

    const buttons = [SIGN, ...OFFERED.toys].map((name) => {
      const isKnown = name === SIGN || LEARNED.toys.includes(name)
      const title = isKnown ? name : `${name} (the model has never seen one)`
      const className = isKnown ? "vlm-shelf-toy" : "vlm-shelf-toy is-unknown"
      const one = button("", () => add(name), { class: className, title, "aria-label": `Add: ${title}` })
      one.append(drawIcon(name, pictures))
      one.onpointerdown = (event) => event.button === 0 && take(event, name)
      return one
    })
    return element("div", { class: "vlm-shelf", role: "group", "aria-label": "A sign and toys to add" }, ...buttons)
  }

  function drawIcon(name, pictures) {
    if (name !== SIGN) {
      return element("img", { src: VLM.toyPictures[name], alt: "", width: ICON, height: ICON, draggable: "false" })
    }
    const canvas = element("canvas", { width: 2 * ICON, height: 2 * ICON, "aria-hidden": "true" })
    const context = canvas.getContext("2d")
    context.setTransform(1.4, 0, 0, 1.4, ICON, ICON)
    VLM.pictures.draw(context, { word: "ZOO", paint: "yellow", size: 26, tilt: 0 }, pictures)
    return canvas
  }

  function isOver(node, { clientX, clientY }) {
    const { left, right, top, bottom } = node.getBoundingClientRect()
    return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom
  }

  // Sliders, lists and buttons for the selected thing. `tools.update()` after the selection or the thing has changed.
  function createToyTools({ stage, frame }) {
    const title = element("span", { class: "vlm-tools-name" })
    const edit = (change) => {
      const thing = stage.selected
      stage.change(({ toys }) => {
        change(thing, toys)
        limit(thing)
      })
    }
    const slider = (label, property, sign = 1) => {
      const input = element("input", { type: "range" })
      input.oninput = () => edit((thing) => (thing[property] = sign * Number(input.value)))
      const update = (thing) => {
        const [min, max] = property === "tilt" ? [-OFFERED.tilt, OFFERED.tilt] : sizesOf(thing)
        Object.assign(input, { min, max, value: sign * thing[property] })
      }
      return { element: element("label", {}, `${label} `, input), update }
    }
    const list = (label, property, values) => {
      const texts = Object.fromEntries(values.map((value) => [value, value]))
      const control = choice(label, texts, () => edit((thing) => (thing[property] = control.value)))
      const update = (thing) => {
        control.element.hidden = !(property in thing)
        control.input.disabled = thing[property] === null // of a kind that does not come in colors
        control.value = thing[property]
      }
      return { element: control.element, update }
    }
    const move = (toys, toy, to) => toys.splice(to, 0, ...toys.splice(toys.indexOf(toy), 1))
    const forToys = [
      button("Mirror", () => edit((toy) => (toy.mirrored = !toy.mirrored))),
      button("To front", () => edit((toy, toys) => move(toys, toy, toys.length))),
      button("To back", () => edit((toy, toys) => move(toys, toy, 0))),
    ]
    const remove = button("Remove", () => {
      frame.announce(`${nameOf(stage.selected)} removed`)
      stage.remove(stage.selected)
    })
    const sliders = [slider("Size", "size"), slider("Tilt", "tilt", -1)] // to the right is clockwise
    const lists = [
      list("Color", "color", Object.keys(VLM.sprites.COLORS)),
      list("Word", "word", LEARNED.words),
      list("Board", "paint", Object.keys(PAINTS)),
    ]
    const tools = element("fieldset", { class: "vlm-toy-tools" }, element("legend", {}, title))
    const place = element("div", { class: "vlm-lists" }, ...lists.map((control) => control.element))
    tools.append(...sliders.map((control) => control.element), place, ...forToys, remove)
    tools.update = () => {
      const thing = stage.selected
      tools.disabled = thing === null
      title.textContent = thing ? `The ${nameOf(thing)}` : "Nothing selected"
      for (const control of [...sliders, ...lists]) control.update(thing ?? NOTHING)
      for (const one of forToys) one.hidden = thing !== null && isSign(thing)
    }
    tools.update()
    return tools
  }

  const sizesOf = (thing) => (isSign(thing) ? LEARNED.signSizes : OFFERED.sizes)

  // Ground, a random scene, an image of the reader's own. `tools.update()` after the scene has changed.
  function createSceneTools({ stage, frame }) {
    const nameGround = (name) => new Option(GROUND_NAMES[name] ?? name, name)
    const named = element("optgroup", { label: "With a name in captions" })
    const others = element("optgroup", { label: "Without a name" })
    for (const name of OFFERED.grounds) (VLM.grounds.NAMED.includes(name) ? named : others).append(nameGround(name))
    const own = nameGround("picture")
    const ground = element("select", { "aria-label": "Ground" }, named, others, own)
    const color = element("input", { type: "color", value: "#808080", "aria-label": "Color" })
    const setGround = () => {
      const isPlain = ground.value === "plain"
      const detail = isPlain ? { color: color.value.slice(1) } : { seed: anySeed(Math.random) }
      stage.change((scene) => (scene.ground = { name: ground.value, ...detail }))
    }
    const another = button("Another", setGround, { title: "Paint another ground of this kind" })
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
      another,
      button("Random scene", () => stage.show(randomScene(Math.random))),
      button("Remove all", () => stage.change((scene) => Object.assign(scene, { sign: null, toys: [] }))),
      button("Your image …", () => file.click()),
      file,
    )
    tools.update = () => {
      const { name, color: plain } = stage.scene.ground
      ground.value = name
      own.hidden = name !== "picture"
      color.hidden = name !== "plain"
      another.hidden = WITHOUT_SEED.includes(name)
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
      stage.show({ ground: { name: "picture", pixels: data }, sign: null, toys: [] })
    } catch {
      frame.sayError(new Error(`${file.name} is not an image that this browser can read. Try a PNG or JPEG file.`))
    }
  }

  return { createShelf, createToyTools, createSceneTools }
})
