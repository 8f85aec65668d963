// What the model found, laid over an image: boxes, masks, and a number for each patch.
//
//     const overlay = VLM.overlay.create()
//     overlay.elements                   put them over the image, into an element with class vlm-stage
//     overlay.showDetections(detections) boxes and masks of an answer; [] removes them
//     overlay.showPatches(values, most)  one number for each patch; 0 is transparent, `most` opaque; null removes them
"use strict"

VLM.part("overlay", () => {
  const { S } = VLM.scene
  const { element } = VLM.dom

  const SCALE = 6 // pixels of the masks' canvas for one that the model sees
  // Okabe and Ito's colors, which color-blind readers can tell apart, as in vlm/regions/draw.py.
  const PALETTE = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"]
  const contrastTo = (color) => (color === "#0072B2" ? "#fff" : "#000")
  const MASK_OPACITY = 0.45
  const PATCH_COLOR = [255, 0, 190]
  const PATCH_OPACITY = 0.85

  // The color of a patch with this value: 0 is transparent, `most` opaque.
  const patchColor = (value, most) => [...PATCH_COLOR, PATCH_OPACITY * Math.min(value / most, 1)]

  function create() {
    const canvas = (name, side) => element("canvas", { class: name, width: side, height: side, "aria-hidden": "true" })
    const patches = canvas("vlm-patches", 1)
    const masks = canvas("vlm-masks", S * SCALE)
    const boxes = element("div", { class: "vlm-boxes", "aria-hidden": "true" })
    const overlay = { elements: [patches, masks, boxes] }

    overlay.showDetections = (detections) => {
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

    overlay.showPatches = (values, most) => {
      patches.hidden = values === null
      if (values === null) return
      const side = Math.sqrt(values.length)
      patches.width = patches.height = side
      const image = new ImageData(side, side)
      values.forEach((value, i) => {
        const [red, green, blue, opacity] = patchColor(value, most)
        image.data.set([red, green, blue, 255 * opacity], 4 * i)
      })
      patches.getContext("2d").putImageData(image, 0, 0)
    }

    overlay.showPatches(null)
    return overlay
  }

  // A box glides to its new edges (live.css). Its label stands above it, or inside where there is no room above.
  function putBox(node, { label, box }, color) {
    const [top, left, bottom, right] = box.map((edge) => (100 * edge) / S)
    Object.assign(node.style, {
      top: `${top}%`,
      left: `${left}%`,
      width: `${right - left}%`,
      height: `${bottom - top}%`,
    })
    node.style.setProperty("--color", color)
    node.style.setProperty("--contrast", contrastTo(color))
    node.classList.toggle("is-high", top < 8)
    node.classList.toggle("is-right", left + right > 100)
    node.firstChild.textContent = label
    node.firstChild.hidden = label === ""
  }

  // A tint inside, and the outline: a tint alone is invisible on a toy of the same color.
  function drawMask(context, mask, color) {
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
    context.strokeStyle = contrastTo(color)
    context.lineWidth = 4.5
    context.stroke(outline)
    context.strokeStyle = color
    context.lineWidth = 2.5
    context.stroke(outline)
  }

  return { create, patchColor }
})
