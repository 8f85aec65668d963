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
//     stage.showDetections(detections) boxes and masks of an answer; [] removes them
//     stage.showPatches(values, most)  one number for each patch; 0 is transparent, `most` opaque; null removes them
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
    "Keys: arrows move a toy (with Shift by one pixel), + and − scale it, [ and ] tilt it, Page Up and Page Down lay it over " +
    "and under the others, Delete removes it."
  // Okabe and Ito's colors, which color-blind readers can tell apart, each with one that can be read on it: those of
  // vlm/regions/draw.py.
  const PALETTE = [
    ...[["#E69F00", "#000"], ["#56B4E9", "#000"], ["#009E73", "#000"], ["#F0E442", "#000"]],
    ...[["#0072B2", "#fff"], ["#D55E00", "#000"], ["#CC79A7", "#000"]],
  ]
  const MASK_OPACITY = 0.45
  const PATCH_COLOR = [255, 0, 190]
  const PATCH_OPACITY = 0.85

  let created = 0
  function create({ scene, pictures, onChange, onSelect, announce }) {
    const canvas = (className, side) => element("canvas", { class: className, width: side, height: side })
    const picture = canvas("vlm-picture", S * SCALE)
    picture.setAttribute("role", "img")
    const patches = canvas("vlm-patches", 1)
    const masks = canvas("vlm-masks", S * SCALE)
    const boxes = element("div", { class: "vlm-boxes", "aria-hidden": "true" })
    const sizeHandle = element("div", { class: "vlm-handle is-size", title: "Drag to scale" })
    const tiltHandle = element("div", { class: "vlm-handle is-tilt", title: "Drag to tilt" })
    const layer = element("div", { class: "vlm-toys" })
    const place = element("div", { class: "vlm-stage", role: "group" }, picture, patches, masks, boxes, layer)
    place.append(sizeHandle, tiltHandle)
    const help = element("p", { class: "vlm-keys", id: `vlm-keys-${++created}` }, KEYS_TEXT)

    const buttons = new Map() // from a toy to its button
    const stage = {
      element: place,
      help,
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
      place.setAttribute("aria-label", `The scene, ${scene.toys.length} toys. Tab goes to each, arrow keys move it.`)
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
      for (const [handle, corner] of [[sizeHandle, 45], [tiltHandle, -45]]) {
        handle.hidden = stage.selected === null
        if (stage.selected) putAtCorner(handle, stage.selected, corner)
      }
    }

    // A handle at the corner of a toy's square that is `degrees` clockwise from its right; in the image, whatever the toy.
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
      context.drawImage(small, 0, 0, S * SCALE, S * SCALE)
      if (!isModelView) scene.toys.forEach((toy) => drawToy(context, toy))
      picture.setAttribute("aria-label", scene.toys.map(describe).join("; ") || "no toys")
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
      event.preventDefault()
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

    stage.focus = (toy) => buttons.get(toy).focus({ preventScroll: true })

    stage.showDetections = (detections) => {
      const labels = [...new Set(detections.map((detection) => detection.label))]
      const colors = detections.map(({ label }) => PALETTE[labels.indexOf(label) % PALETTE.length])
      while (boxes.children.length > detections.length) boxes.lastChild.remove()
      detections.forEach((detection, index) => {
        if (!boxes.children[index]) boxes.append(element("div", { class: "vlm-box" }, element("span")))
        putBox(boxes.children[index], detection, colors[index])
      })
      const context = masks.getContext("2d")
      context.clearRect(0, 0, masks.width, masks.height)
      detections.forEach(({ mask }, index) => mask && drawMask(context, mask, colors[index]))
    }

    stage.showPatches = (values, most) => {
      patches.hidden = values === null
      if (values === null) return
      const side = Math.sqrt(values.length)
      patches.width = patches.height = side
      const image = new ImageData(side, side)
      values.forEach((value, i) => {
        const opacity = PATCH_OPACITY * Math.min(value / most, 1)
        image.data.set([...PATCH_COLOR, 255 * opacity], 4 * i)
      })
      patches.getContext("2d").putImageData(image, 0, 0)
    }

    stage.showPatches(null)
    draw()
    return stage
  }

  // A box glides to its new edges (live.css). Its label stands above it, or inside where there is no room above.
  function putBox(node, { label, box }, [color, contrast]) {
    const [top, left, bottom, right] = box.map((edge) => (100 * edge) / S)
    Object.assign(node.style, { top: `${top}%`, left: `${left}%`, width: `${right - left}%`, height: `${bottom - top}%` })
    node.style.setProperty("--color", color)
    node.style.setProperty("--contrast", contrast)
    node.classList.toggle("is-high", top < 8)
    node.classList.toggle("is-right", left + right > 100)
    node.firstChild.textContent = label
    node.firstChild.hidden = label === ""
  }

  // A tint inside, and the outline: a tint alone is lost on a toy of its own color.
  function drawMask(context, mask, [color, contrast]) {
    const outline = new Path2D()
    context.fillStyle = color
    context.globalAlpha = MASK_OPACITY
    mask.forEach((isInside, at) => {
      if (!isInside) return
      const [y, x] = [Math.floor(at / S), at % S]
      context.fillRect(x * SCALE, y * SCALE, SCALE, SCALE)
      const edge = (y0, x0, y1, x1) => {
        outline.moveTo(x0 * SCALE, y0 * SCALE)
        outline.lineTo(x1 * SCALE, y1 * SCALE)
      }
      if (y === 0 || !mask[at - S]) edge(y, x, y, x + 1)
      if (y === S - 1 || !mask[at + S]) edge(y + 1, x, y + 1, x + 1)
      if (x === 0 || !mask[at - 1]) edge(y, x, y + 1, x)
      if (x === S - 1 || !mask[at + 1]) edge(y, x + 1, y + 1, x + 1)
    })
    context.globalAlpha = 1
    context.lineCap = "round"
    for (const [style, width] of [[contrast, 4.5], [color, 2.5]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: width })
      context.stroke(outline)
    }
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
