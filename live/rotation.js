// The rotation: a query and a key at two positions, pair by pair, and the score, which depends only on their distance.
//
//     <div class="live-figure" data-figure="rotation" data-query="7" data-key="3">
//
// Angles as in vlm/gemma.py: pair i of E/2 is rotated by theta^(-2i/E) for each position.
"use strict"

VLM.part("rotation", () => {
  const { Matrix, matmulTransposed } = VLM.tensor
  const { rotaryCosSin, rotateHalf, applyRotaryPosEmb } = VLM.model

  const HEAD_DIM = 32 // E, of the shipped model
  const THETA = 10000

  // [1, E]: E/2 pairs of length 1, each at an angle of its own
  function makeQuery() {
    const half = HEAD_DIM / 2
    const angle = (i) => 0.6 + 2.4 * (i % half) // so that neighbors differ
    return new Matrix(1, HEAD_DIM).map((_, i) => (i < half ? Math.cos(angle(i)) : Math.sin(angle(i))))
  }

  // [1, E] at a position
  function rotate(states, position) {
    const [cos, sin] = rotaryCosSin([position], HEAD_DIM, THETA)
    return applyRotaryPosEmb([states], cos, sin, rotateHalf)[0]
  }

  // A key whose score is highest `back` positions before the query: the query's pairs, each rotated further.
  const makeKey = (query, back) => rotate(query, back)

  // The dot product by the number of pairs: 1 if all pairs of both point the same way
  const score = (query, key) => matmulTransposed(query, key).data[0] / (HEAD_DIM / 2)

  // The score for a query that lies `distance` positions after the key
  const scoreAt = (query, key, distance) => score(rotate(query, distance), rotate(key, 0))

  return { HEAD_DIM, makeQuery, makeKey, rotate, score, scoreAt }
})

VLM.figures.define("rotation", (frame, data) => {
  const { HEAD_DIM, makeQuery, makeKey, rotate, score, scoreAt } = VLM.rotation
  const { element } = VLM.dom
  const { slider, check } = VLM.controls
  const { svg } = VLM.plot

  const LAST = 100 // the largest position
  const SHOWN = [0, 2, 4, 8] // pairs with a dial
  const RADIUS = 40
  const DISTANCES = Array.from({ length: 4 * LAST + 1 }, (_, i) => i / 2 - LAST)

  const positions = { min: 0, max: LAST }
  const ofQuery = slider("Position of the query", { ...positions, value: data.query ?? 7 }, () => move(ofQuery, ofKey))
  const ofKey = slider("Position of the key", { ...positions, value: data.key ?? 7 }, () => move(ofKey, ofQuery))
  const together = check("move both together", () => (distance = ofQuery.value - ofKey.value))
  const back = slider("The head looks back by", { min: 0, max: 20, value: data.back ?? 0 }, draw)
  const dials = SHOWN.map(makeDial)
  const plot = VLM.plot.create({
    x: { from: -LAST, to: LAST, ticks: [-100, -50, 0, 50, 100], label: "distance: query position − key position" },
    y: { from: -1.1, to: 1.1, ticks: [-1, 0, 1], label: "score" },
    ratio: 0.34,
  })
  const says = element("p", { class: "vlm-says-why" })
  const query = makeQuery() // [1, E]
  let distance = ofQuery.value - ofKey.value

  frame.body.classList.add("vlm-rotation")
  frame.body.append(
    element("div", { class: "vlm-sliders" }, ofQuery.element, ofKey.element, together.element, back.element),
    element("div", { class: "vlm-dials", "aria-hidden": "true" }, ...dials.map((dial) => dial.element)),
    ...[says, plot.element],
  )
  draw()

  // Moves the other slider too if both are to keep their distance; none leaves 0..LAST.
  function move(moved, other) {
    if (!together.value) return draw()
    const gap = moved === ofQuery ? -distance : distance
    moved.value = Math.min(Math.max(moved.value, -gap), LAST - gap)
    other.value = moved.value + gap
    draw()
  }

  function draw() {
    const key = makeKey(query, back.value)
    const [turnedQuery, turnedKey] = [rotate(query, ofQuery.value), rotate(key, ofKey.value)]
    dials.forEach((dial) => dial.draw(turnedQuery.data, turnedKey.data))
    const [apart, now] = [ofQuery.value - ofKey.value, score(turnedQuery, turnedKey)]
    plot.draw(
      plot.line(DISTANCES.map((d) => [d, scoreAt(query, key, d)])),
      svg("line", { class: "is-marker", x1: plot.x(apart), x2: plot.x(apart), y1: plot.top, y2: plot.bottom }),
      plot.dot(apart, now, { r: 5, class: "is-dot is-warm" }),
    )
    const number = (value, digits) => value.toFixed(digits).replace("-", "−")
    says.textContent = `Distance ${number(apart, 0)}: score ${number(now, 4)}.`
    frame.announce(says.textContent)
  }

  // Two arrows on a dial: one pair of the query and of the key, after the rotation.
  function makeDial(pair) {
    const hand = (name) => svg("line", { class: `vlm-hand ${name}`, x1: 0, y1: 0 })
    const hands = { query: hand("is-query"), key: hand("is-key") }
    const face = svg("circle", { r: RADIUS, class: "vlm-dial" })
    const side = RADIUS + 4
    const drawing = svg("svg", { viewBox: `${-side} ${-side} ${2 * side} ${2 * side}` }, face, hands.key, hands.query)
    const value = element("small")
    const label = element("figcaption", {}, `pair ${pair}: `, value)
    const point = (line, across, up) => {
      line.setAttribute("x2", RADIUS * across)
      line.setAttribute("y2", -RADIUS * up)
    }
    return {
      element: element("figure", {}, drawing, label),
      draw(query, key) {
        const second = pair + HEAD_DIM / 2 // entry i and entry i + E/2 are a pair
        point(hands.query, query[pair], query[second])
        point(hands.key, key[pair], key[second])
        const product = query[pair] * key[pair] + query[second] * key[second]
        value.textContent = `product ${product.toFixed(2).replace("-", "−")}`
      },
    }
  }
})
