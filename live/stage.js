// The stage: a scene, large, whose toys are moved by mouse, touch and keyboard, and what the model found laid over it.
//
//     const stage = VLM.stage.create({ scene, pictures, onChange, onSelect, announce })
//     stage.element, stage.help        put both into the page; the second says what the keys do
//     stage.scene                      the scene; change it by these two alone:
//     stage.change((scene) => ...)
//     stage.show(otherScene)
//     stage.rendering                  what the model sees: VLM.scene.render(scene)
//     stage.selected                   the toy that the tools are for, or null; stage.select(toy)
//     stage.dragFrom(event, toy)       goes on with a drag that began elsewhere, on the shelf of toys
//     stage.overlay                    boxes, masks and patches over it, see overlay.js
//     stage.seeAsModel(isOn)           the S x S pixels in place of the large picture
"use strict"

VLM.part("stage", () => {
  const { S, SPRITE, OFFERED, render, limit } = VLM.scene
  const { element, oncePerFrame } = VLM.dom

  const SCALE = 6 // pixels of the large picture for one that the model sees
  const KEYS = {
    ArrowUp: (toy, step) => (toy.y -= step),
    ArrowDown: (toy, step) => (toy.y += step),
    ArrowLeft: (toy, step) => (toy.x -= step),
    ArrowRight: (toy, step) => (toy.x += step),
    "+": (toy, step) => (toy.size += step),
    "=": (toy, step) => (toy.size += step),
    "-": (toy, step) => (toy.size -= step),
    "[": (toy, step) => (toy.tilt += step),
    "]": (toy, step) => (toy.tilt -= step),
  }
  const KEYS_TEXT =
    "Keys: arrows move a toy (with Shift by one pixel), + and − scale it, [ and ] tilt it, Page Up and Page Down lay " +
    "it over and under the others, Delete removes it."

  let created = 0 // stages of the page
  function create({ scene, pictures, onChange, onSelect, announce }) {
    const side = S * SCALE
    const picture = element("canvas", { class: "vlm-picture", width: side, height: side, "aria-hidden": "true" })
    const overlay = VLM.overlay.create()
    const sizeHandle = element("div", { class: "vlm-handle is-size", title: "Drag to scale" })
    const tiltHandle = element("div", { class: "vlm-handle is-tilt", title: "Drag to tilt" })
    const layer = element("div", { class: "vlm-toys" })
    const place = element("div", { class: "vlm-stage", role: "group" }, picture, ...overlay.elements, layer)
    place.append(sizeHandle, tiltHandle)
    const help = element("p", { class: "vlm-keys", id: `vlm-keys-${++created}` }, KEYS_TEXT)

    const buttons = new Map() // from a toy to its button
    const stage = {
      element: place,
      help,
      overlay,
      rendering: null,
      selected: null,
      get scene() {
        return scene
      },
    }
    let isModelView = false

    stage.change = (edit) => {
      edit(scene)
      draw()
      onChange()
    }

    stage.show = (other) => {
      scene = other
      draw()
      onChange()
    }

    stage.select = (toy) => {
      stage.selected = toy
      drawSelection()
      onSelect()
    }

    stage.seeAsModel = (isOn) => {
      isModelView = isOn
      drawPicture()
    }

    function draw() {
      stage.rendering = render(scene, pictures)
      for (const [toy, button] of buttons) {
        if (scene.toys.includes(toy)) continue
        button.remove()
        buttons.delete(toy)
      }
      scene.toys.forEach((toy, index) => {
        if (!buttons.has(toy)) buttons.set(toy, makeButton(toy))
        const button = buttons.get(toy)
        button.style.zIndex = index
        button.setAttribute("aria-label", describe(toy))
        putOver(button, toy)
      })
      if (!scene.toys.includes(stage.selected)) stage.selected = null
      place.setAttribute("aria-label", `The scene, on ${scene.ground.name}. Toys: ${scene.toys.length}`)
      drawSelection()
      drawPictureSoon()
    }

    function makeButton(toy) {
      const button = element("button", { type: "button", class: "vlm-toy", "aria-describedby": help.id })
      button.onfocus = () => stage.select(toy)
      button.onkeydown = (event) => press(event, toy)
      layer.append(button)
      return button
    }

    function putOver(node, toy) {
      Object.assign(node.style, {
        left: percent(toy.x - toy.size / 2),
        top: percent(toy.y - toy.size / 2),
        width: percent(toy.size),
        height: percent(toy.size),
        transform: `rotate(${-toy.tilt}deg)`,
      })
    }

    function drawSelection() {
      for (const [toy, button] of buttons) button.setAttribute("aria-pressed", toy === stage.selected)
      sizeHandle.hidden = tiltHandle.hidden = stage.selected === null
      if (stage.selected === null) return
      putAtCorner(sizeHandle, stage.selected, 45)
      putAtCorner(tiltHandle, stage.selected, -45)
    }

    // A handle at the corner of a toy's square that is `degrees` clockwise from its right, or at the image's edge.
    function putAtCorner(handle, { y, x, size, tilt }, degrees) {
      const angle = ((degrees - tilt) * Math.PI) / 180
      const inside = (at) => Math.min(Math.max(at, 0), S)
      handle.style.left = percent(inside(x + (size / Math.SQRT2) * Math.cos(angle)))
      handle.style.top = percent(inside(y + (size / Math.SQRT2) * Math.sin(angle)))
    }

    function drawPicture() {
      const context = picture.getContext("2d")
      const { pixels } = isModelView ? stage.rendering : render({ ...scene, toys: [] }, pictures)
      const small = new OffscreenCanvas(S, S)
      small.getContext("2d").putImageData(toImageData(pixels), 0, 0)
      context.imageSmoothingEnabled = !isModelView
      context.imageSmoothingQuality = "high"
      context.drawImage(small, 0, 0, side, side)
      if (!isModelView) scene.toys.forEach((toy) => drawToy(context, toy))
    }
    const drawPictureSoon = oncePerFrame(drawPicture)

    function drawToy(context, toy) {
      const scale = (SCALE * toy.size) / SPRITE
      context.save()
      context.translate(SCALE * toy.x, SCALE * toy.y)
      context.rotate((-toy.tilt * Math.PI) / 180)
      context.scale(toy.mirrored ? -scale : scale, scale)
      context.drawImage(pictures[toy.label].image, -SPRITE / 2, -SPRITE / 2, SPRITE, SPRITE)
      context.restore()
    }

    // By keyboard.
    function press(event, toy) {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const at = scene.toys.indexOf(toy)
      if (event.key === "Delete" || event.key === "Backspace") {
        const next = scene.toys[at === 0 ? 1 : at - 1]
        stage.change(({ toys }) => toys.splice(at, 1))
        buttons.get(next)?.focus()
        announce(`${toy.label} removed`)
      } else if (event.key === "PageUp" || event.key === "PageDown") {
        const to = event.key === "PageUp" ? at + 1 : Math.max(at - 1, 0)
        stage.change(({ toys }) => toys.splice(to, 0, ...toys.splice(at, 1)))
        announce(`${toy.label}: layer ${scene.toys.indexOf(toy) + 1} of ${scene.toys.length}`)
      } else if (event.key in KEYS) {
        stage.change(() => {
          KEYS[event.key](toy, event.shiftKey && event.key.startsWith("Arrow") ? 1 : 4)
          limit(toy)
        })
        announce(describe(toy))
      } else {
        return
      }
      event.preventDefault()
    }

    // By mouse and touch. A drag calls `move` with how far the pointer has come, in pixels of S x S.
    function drag(event, move) {
      const [startX, startY] = [event.clientX, event.clientY]
      const follow = (next) => {
        if (next.pointerId !== event.pointerId) return
        const unit = place.clientWidth / S
        stage.change(() => move((next.clientX - startX) / unit, (next.clientY - startY) / unit))
      }
      const stop = (last) => {
        if (last.pointerId !== event.pointerId) return
        removeEventListener("pointermove", follow)
        removeEventListener("pointerup", stop)
        removeEventListener("pointercancel", stop)
        place.classList.remove("is-dragging")
      }
      addEventListener("pointermove", follow)
      addEventListener("pointerup", stop)
      addEventListener("pointercancel", stop)
      place.classList.add("is-dragging")
      event.preventDefault() // else the focus would go to the button on top
    }

    function dragToy(event, toy) {
      const { x, y } = toy
      drag(event, (right, down) => limit(Object.assign(toy, { x: x + right, y: y + down })))
    }

    // The point of a pointer in pixels of S x S.
    function pointOf(event) {
      const { left, top, width } = place.getBoundingClientRect()
      return [((event.clientY - top) * S) / width, ((event.clientX - left) * S) / width]
    }

    // Squares overlap where toys do not: the toy that is seen at the pointer is meant, whichever button is on top.
    layer.onpointerdown = (event) => {
      if (event.button !== 0) return
      const [y, x] = pointOf(event).map(Math.floor)
      const seen = scene.toys[stage.rendering.owner[y * S + x]]
      const under = [...buttons].find(([, button]) => button === event.target)
      const toy = seen ?? under?.[0]
      if (!toy) return stage.select(null)
      buttons.get(toy).focus({ preventScroll: true })
      stage.select(toy)
      dragToy(event, toy)
    }

    sizeHandle.onpointerdown = (event) => {
      const toy = stage.selected
      const start = distance(pointOf(event), toy)
      const { size } = toy
      const [startY, startX] = pointOf(event)
      drag(event, (right, down) => {
        toy.size = (size * distance([startY + down, startX + right], toy)) / start
        limit(toy)
      })
    }

    tiltHandle.onpointerdown = (event) => {
      const toy = stage.selected
      const { tilt } = toy
      const [startY, startX] = pointOf(event)
      const angle = (y, x) => (Math.atan2(toy.y - y, x - toy.x) * 180) / Math.PI
      drag(event, (right, down) => {
        toy.tilt = tilt + angle(startY + down, startX + right) - angle(startY, startX)
        limit(toy)
        if (Math.abs(toy.tilt) < 4) toy.tilt = 0 // upright is easy to find again
      })
    }

    stage.dragFrom = (event, toy) => {
      const [y, x] = pointOf(event)
      stage.change(({ toys }) => toys.push(limit(Object.assign(toy, { y, x }))))
      buttons.get(toy).focus({ preventScroll: true })
      dragToy(event, toy)
    }

    draw()
    return stage
  }

  function describe({ label, y, x, size, tilt }) {
    const tilted = tilt === 0 ? "" : `, tilted by ${tilt} degrees`
    return `${label}, ${size} pixels, ${y} from the top, ${x} from the left${tilted}`
  }

  const percent = (pixels) => `${(100 * pixels) / S}%`

  const distance = ([y, x], toy) => Math.hypot(y - toy.y, x - toy.x)

  function toImageData(pixels) {
    const image = new ImageData(S, S)
    image.data.fill(255) // opaque
    for (let i = 0; i < S * S; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[3 * i + c]
    }
    return image
  }

  return { create }
})
