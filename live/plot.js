// A small chart: axes that never rescale, and what a figure draws between them, as SVG.
//
//     const plot = VLM.plot.create({ x: { from: 0, to: 10, ticks: [0, 5, 10], label: "step" }, y: {...}, ratio: 0.5 })
//     plot.element
//     plot.draw(plot.line(points), plot.dot(x, y), ...)    replaces what was drawn; points are [[x, y], ...]
//     plot.x(value), plot.y(value)                         where a value is, in units of the drawing
//     VLM.plot.svg("circle", { r: 3 })                     any element of a drawing
//
// An axis may have `names`, a text for each of its ticks. What is outside of the axes is cut off.
"use strict"

VLM.part("plot", () => {
  const WIDTH = 400
  const MARGIN = { left: 46, right: 16, top: 8, bottom: 40 }
  const SPACE = "http://www.w3.org/2000/svg"
  let created = 0 // plots of the page

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(SPACE, tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") made[name] = value
      else made.setAttribute(name, value)
    }
    made.append(...children)
    return made
  }

  function create({ x, y, ratio = 0.5 }) {
    const height = Math.round(WIDTH * ratio) + MARGIN.top + MARGIN.bottom
    const [left, right] = [MARGIN.left, WIDTH - MARGIN.right]
    const [top, bottom] = [MARGIN.top, height - MARGIN.bottom]
    const toX = (value) => left + ((value - x.from) / (x.to - x.from)) * (right - left)
    const toY = (value) => bottom - ((value - y.from) / (y.to - y.from)) * (bottom - top)

    const id = `vlm-plot-${++created}`
    const inside = { x: left, y: top, width: right - left, height: bottom - top }
    const layer = svg("g", { "clip-path": `url(#${id})` })
    const drawing = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${height}`, class: "vlm-plot", "aria-hidden": "true" },
      svg("clipPath", { id }, svg("rect", inside)),
      ...x.ticks.map((tick) => svg("line", { class: "is-grid", x1: toX(tick), x2: toX(tick), y1: top, y2: bottom })),
      ...y.ticks.map((tick) => svg("line", { class: "is-grid", x1: left, x2: right, y1: toY(tick), y2: toY(tick) })),
      ...x.ticks.map((tick, i) => text(x.names?.[i] ?? tick, toX(tick), bottom + 16, "middle")),
      ...y.ticks.map((tick, i) => text(y.names?.[i] ?? tick, left - 6, toY(tick) + 4, "end")),
      text(x.label, (left + right) / 2, height - 6, "middle"),
      svg("g", { transform: `translate(11 ${(top + bottom) / 2}) rotate(-90)` }, text(y.label, 0, 0, "middle")),
      layer,
    )

    const line = (points, attributes = {}) =>
      svg("polyline", {
        points: points.map((point) => `${toX(point[0]).toFixed(1)},${toY(point[1]).toFixed(1)}`).join(" "),
        class: "is-line",
        ...attributes,
      })
    const dot = (atX, atY, attributes = {}) =>
      svg("circle", { cx: toX(atX), cy: toY(atY), r: 3, class: "is-dot", ...attributes })

    return {
      ...{ element: drawing, x: toX, y: toY, line, dot, top, bottom },
      draw: (...shapes) => layer.replaceChildren(...shapes),
    }
  }

  function text(content, x, y, anchor) {
    return svg("text", { x, y, "text-anchor": anchor }, String(content).replace("-", "−"))
  }

  return { create, svg }
})
