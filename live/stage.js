// The stage: a scene, large, whose toys and sign are moved by mouse, touch and keyboard, and what the model found laid
// over it. A thing is a toy or the sign.
//
//     const stage = VLM.stage.create({ scene, pictures, onChange, onSelect, announce })
//     stage.element, stage.help        put both into the page; the second says what the keys do
//     stage.scene                      the scene; change it by these two alone:
//     stage.change((scene) => ...)
//     stage.show(otherScene)
//     stage.rendering                  what the model sees: VLM.scene.render(scene)
//     stage.selected                   the thing that the tools are for, or null; stage.select(thing)
//     stage.add(thing), stage.remove(thing)
//     stage.dragFrom(event, thing)     adds a thing and goes on with a drag that began elsewhere, on the shelf
//     stage.overlay                    boxes, masks and patches over it, see overlay.js
//     stage.seeAsModel(isOn)           the S x S pixels in place of the large picture
"use strict"

VLM.part("stage", () => {
  const { S, isSign, nameOf, thingsOf, sidesOf, render, limit } = VLM.scene
  const { element, oncePerFrame } = VLM.dom

  const SCALE = 6 // pixels of the large picture for one that the model sees
  const KEYS = {
    ArrowUp: (thing, step) => (thing.y -= step),
    ArrowDown: (thing, step) => (thing.y += step),
    ArrowLeft: (thing, step) => (thing.x -= step),
    ArrowRight: (thing, step) => (thing.x += step),
    "+": (thing, step) => (thing.size += step),
    "=": (thing, step) => (thing.size += step),
    "-": (thing, step) => (thing.size -= step),
    "[": (thing, step) => (thing.tilt += step),
    "]": (thing, step) => (thing.tilt -= step),
  }
  const KEYS_TEXT =
    "Keys: arrows move a toy or the sign (with Shift by one pixel), + and − scale it, [ and ] tilt it, Delete removes " +
    "it; Page Up and Page Down lay a toy over and under the others."

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

    const buttons = new Map() // from a thing to its button
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

    stage.add = (thing) => {
      stage.change((scene) => (isSign(thing) ? (scene.sign = thing) : scene.toys.push(thing)))
      stage.select(thing)
    }

    stage.remove = (thing) => {
      stage.change((scene) => (isSign(thing) ? (scene.sign = null) : scene.toys.splice(scene.toys.indexOf(thing), 1)))
    }

    stage.select = (thing) => {
      stage.selected = thing
      drawSelection()
      onSelect()
    }

    stage.seeAsModel = (isOn) => {
      isModelView = isOn
      drawPicture()
    }

    function draw() {
      stage.rendering = render(scene, pictures)
      const things = thingsOf(scene)
      for (const [thing, button] of buttons) {
        if (things.includes(thing)) continue
        button.remove()
        buttons.delete(thing)
      }
      things.forEach((thing, index) => {
        if (!buttons.has(thing)) buttons.set(thing, makeButton(thing))
        const button = buttons.get(thing)
        button.style.zIndex = index
        button.setAttribute("aria-label", describe(thing))
        putOver(button, thing)
      })
      if (!things.includes(stage.selected)) stage.selected = null
      place.setAttribute("aria-label", `The scene, on ${scene.ground.name}. Toys: ${scene.toys.length}`)
      drawSelection()
      drawPictureSoon()
    }

    function makeButton(thing) {
      const button = element("button", { type: "button", class: "vlm-toy", "aria-describedby": help.id })
      button.onfocus = () => stage.select(thing)
      button.onkeydown = (event) => press(event, thing)
      layer.append(button)
      return button
    }

    function putOver(node, thing) {
      const [height, width] = sidesOf(thing)
      Object.assign(node.style, {
        left: percent(thing.x - width / 2),
        top: percent(thing.y - height / 2),
        width: percent(width),
        height: percent(height),
        transform: `rotate(${-thing.tilt}deg)`,
      })
    }

    function drawSelection() {
      for (const [thing, button] of buttons) button.setAttribute("aria-pressed", thing === stage.selected)
      sizeHandle.hidden = tiltHandle.hidden = stage.selected === null
      if (stage.selected === null) return
      putAtCorner(sizeHandle, stage.selected, 1)
      putAtCorner(tiltHandle, stage.selected, -1)
    }

    // A handle at the lower right (1) or the upper right corner (-1) of a thing, or at the image's edge.
    function putAtCorner(handle, thing, sign) {
      const [height, width] = sidesOf(thing)
      const angle = sign * Math.atan2(height, width) - (thing.tilt * Math.PI) / 180
      const inside = (at) => Math.min(Math.max(at, 0), S)
      handle.style.left = percent(inside(thing.x + (Math.hypot(height, width) / 2) * Math.cos(angle)))
      handle.style.top = percent(inside(thing.y + (Math.hypot(height, width) / 2) * Math.sin(angle)))
    }

    function drawPicture() {
      const context = picture.getContext("2d")
      const { pixels } = isModelView ? stage.rendering : render({ ...scene, sign: null, toys: [] }, pictures)
      const small = new OffscreenCanvas(S, S)
      small.getContext("2d").putImageData(toImageData(pixels), 0, 0)
      context.imageSmoothingEnabled = !isModelView
      context.imageSmoothingQuality = "high"
      context.drawImage(small, 0, 0, side, side)
      if (isModelView) return
      for (const thing of thingsOf(scene)) {
        context.setTransform(SCALE, 0, 0, SCALE, SCALE * thing.x, SCALE * thing.y)
        VLM.pictures.draw(context, thing, pictures)
      }
      context.resetTransform()
    }
    const drawPictureSoon = oncePerFrame(drawPicture)

    // By keyboard.
    function press(event, thing) {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const things = thingsOf(scene)
      const at = things.indexOf(thing)
      if (event.key === "Delete" || event.key === "Backspace") {
        stage.remove(thing)
        buttons.get(things[at === 0 ? 1 : at - 1])?.focus()
        announce(`${nameOf(thing)} removed`)
      } else if (["PageUp", "PageDown"].includes(event.key) && !isSign(thing)) {
        const from = scene.toys.indexOf(thing)
        const to = event.key === "PageUp" ? from + 1 : Math.max(from - 1, 0)
        stage.change(({ toys }) => toys.splice(to, 0, ...toys.splice(from, 1)))
        announce(`${thing.label}: layer ${scene.toys.indexOf(thing) + 1} of ${scene.toys.length}`)
      } else if (event.key in KEYS) {
        stage.change(() => {
          KEYS[event.key](thing, event.shiftKey && event.key.startsWith("Arrow") ? 1 : 4)
          limit(thing)
        })
        announce(describe(thing))
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
      event.preventDefault() // otherwise the focus would go to the button on top
    }

    function dragThing(event, thing) {
      const { x, y } = thing
      drag(event, (right, down) => limit(Object.assign(thing, { x: x + right, y: y + down })))
    }

    // The point of a pointer in pixels of S x S.
    function pointOf(event) {
      const { left, top, width } = place.getBoundingClientRect()
      return [((event.clientY - top) * S) / width, ((event.clientX - left) * S) / width]
    }

    // Squares overlap where toys do not: take the toy that is visible at the pointer, whichever button is on top.
    layer.onpointerdown = (event) => {
      if (event.button !== 0) return
      const [y, x] = pointOf(event).map(Math.floor)
      const [top, left, bottom, right] = stage.rendering.signBox ?? []
      const sign = y >= top && y < bottom && x >= left && x < right ? scene.sign : null
      const under = [...buttons].find(([, button]) => button === event.target)
      const thing = scene.toys[stage.rendering.owner[y * S + x]] ?? sign ?? under?.[0]
      if (!thing) return stage.select(null)
      buttons.get(thing).focus({ preventScroll: true })
      stage.select(thing)
      dragThing(event, thing)
    }

    sizeHandle.onpointerdown = (event) => {
      const thing = stage.selected
      const start = distance(pointOf(event), thing)
      const { size } = thing
      const [startY, startX] = pointOf(event)
      drag(event, (right, down) => {
        thing.size = (size * distance([startY + down, startX + right], thing)) / start
        limit(thing)
      })
    }

    tiltHandle.onpointerdown = (event) => {
      const thing = stage.selected
      const { tilt } = thing
      const [startY, startX] = pointOf(event)
      const angle = (y, x) => (Math.atan2(thing.y - y, x - thing.x) * 180) / Math.PI
      drag(event, (right, down) => {
        thing.tilt = tilt + angle(startY + down, startX + right) - angle(startY, startX)
        limit(thing)
        if (Math.abs(thing.tilt) < 4) thing.tilt = 0 // upright is easy to find again
      })
    }

    stage.dragFrom = (event, thing) => {
      const [y, x] = pointOf(event)
      stage.add(limit(Object.assign(thing, { y, x })))
      buttons.get(thing).focus({ preventScroll: true })
      dragThing(event, thing)
    }

    draw()
    return stage
  }

  // "car, blue, 40 pixels, 50 from the top, 60 from the left"
  function describe(thing) {
    const { word, label, color, size, tilt, y, x } = thing
    const name = isSign(thing) ? `sign, ${word}` : color ? `${label}, ${color}` : label
    const tilted = tilt === 0 ? "" : `, tilted by ${tilt} degrees`
    return `${name}, ${size} pixels, ${y} from the top, ${x} from the left${tilted}`
  }

  const percent = (pixels) => `${(100 * pixels) / S}%`

  const distance = ([y, x], thing) => Math.hypot(y - thing.y, x - thing.x)

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
