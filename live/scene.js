// A scene that a reader composes: toys on a ground. Draws it into the S x S pixels that the model sees, as
// toybox/scenes.py does, and writes it into a link and reads it from there.
//
//     scene   { ground, toys }   the last toy lies on top
//     ground  { name: "sand", seed: 3 }, or { name: "plain", color: "808080" }, or { name: "picture", pixels }
//     toy     { label, y, x, size, tilt, mirrored }   center and side in pixels of S x S; degrees, counter-clockwise
"use strict"

VLM.part("scene", () => {
  const { S, paintGround, cubic, randomNumbers } = VLM.grounds

  // What the shipped model was trained on (toybox/scenes.py), and what the page offers. What is offered beyond the
  // training is there to be tried, and `strangeness` says so. Another checkpoint needs changes here and nowhere else.
  const LEARNED = {
    toys: [
      ...["apple", "ball", "banana", "bird", "boat", "bus", "butterfly", "cake", "car", "cat"],
      ...["clock", "dog", "fish", "flower", "frog", "house", "pizza", "rocket", "tree", "turtle"],
    ],
    grounds: ["grass", "sand", "snow", "water", "sky", "night"],
    count: 4, // toys in a scene, at most
    sizes: [26, 56],
    tilt: 0,
    visible: 0.8, // the fraction of a toy that the others leave visible, at least
  }
  const OFFERED = {
    toys: [...LEARNED.toys, "penguin"],
    grounds: [...LEARNED.grounds, "plain"],
    count: 8,
    sizes: [14, 100],
    tilt: 180,
  }

  const SPRITE = 256 // side of a toy's picture in pixels
  const OPAQUE = 128 // from this alpha on (of 255), a pixel belongs to the toy
  const REPEAT_CHANCE = 0.35 // that a further toy is of a kind that is there already
  const FOLDER = document.currentScript.src.replace(/[^/]*$/, "")

  // The toys' pictures: Promise of { cat: { image, pixels }, ... }, pixels Uint8ClampedArray [SPRITE * SPRITE * 4].
  // They come in a script, since a page that was opened as a file may not read the pixels of another file.
  let toys = null
  const loadToys = () => {
    toys ??= readToys()
    return toys
  }

  async function readToys() {
    if (!VLM.toyPictures) await loadScript() // in a notebook's page they are there (live/jupyter.py)
    const read = Object.entries(VLM.toyPictures).map(async ([label, address]) => {
      const image = new Image()
      image.src = address
      await image.decode()
      const context = new OffscreenCanvas(SPRITE, SPRITE).getContext("2d")
      context.drawImage(image, 0, 0, SPRITE, SPRITE)
      return [label, { image, pixels: context.getImageData(0, 0, SPRITE, SPRITE).data }]
    })
    return Object.fromEntries(await Promise.all(read))
  }

  function loadScript() {
    return new Promise((done, fail) => {
      const script = document.createElement("script")
      script.src = `${FOLDER}toys_data.js`
      script.onload = done
      script.onerror = () => fail(new Error("The toys could not be loaded. Check the network, then reload the page."))
      document.head.append(script)
    })
  }

  // What the model sees of a scene.
  //     pixels    Uint8ClampedArray [S * S * 3]
  //     owner     Int8Array [S * S], the index of the toy at each pixel, -1 for the ground
  //     boxes     for each toy [yMin, xMin, yMax, xMax] around what is visible of it, or null
  //     visible   for each toy the fraction of it that can be seen
  function render(scene, pictures) {
    const colors = Float32Array.from(drawGround(scene.ground))
    const owner = new Int8Array(S * S).fill(-1)
    const areas = scene.toys.map((toy, index) =>
      paste(cutOut(toy, pictures[toy.label].pixels), toy, index, colors, owner),
    )
    const { boxes, counts } = measure(owner, scene.toys.length)
    const visible = areas.map((area, index) => counts[index] / area)
    return { pixels: Uint8ClampedArray.from(colors), owner, boxes, visible } // rounds to the nearest integer
  }

  // Lay a toy over what is there. Returns its area in pixels, also of what lies outside the image.
  function paste({ side, data }, { y: centerY, x: centerX }, index, colors, owner) {
    const [top, left] = [Math.round(centerY - side / 2), Math.round(centerX - side / 2)]
    let area = 0
    for (let i = 0; i < side * side; i++) {
      const alpha = data[4 * i + 3]
      if (alpha >= OPAQUE) area++
      const [y, x] = [top + Math.floor(i / side), left + (i % side)]
      if (alpha === 0 || y < 0 || y >= S || x < 0 || x >= S) continue
      const at = y * S + x
      for (let c = 0; c < 3; c++) colors[3 * at + c] += (alpha / 255) * (data[4 * i + c] - colors[3 * at + c])
      if (alpha >= OPAQUE) owner[at] = index
    }
    return area
  }

  // The box around what is visible of each toy, or null, and its pixels, counted.
  function measure(owner, length) {
    const boxes = Array(length).fill(null)
    const counts = Array(length).fill(0)
    for (let at = 0; at < S * S; at++) {
      const index = owner[at]
      if (index < 0) continue
      const [y, x] = [Math.floor(at / S), at % S]
      const [top, left, bottom, right] = boxes[index] ?? [y, x, y + 1, x + 1]
      boxes[index] = [Math.min(top, y), Math.min(left, x), Math.max(bottom, y + 1), Math.max(right, x + 1)]
      counts[index]++
    }
    return { boxes, counts }
  }

  let painted = { key: "", pixels: null }
  function drawGround(ground) {
    if (ground.name === "picture") return ground.pixels
    const key = `${ground.name} ${ground.seed} ${ground.color}`
    if (painted.key !== key) {
      const pixels = ground.name === "plain" ? fill(ground.color) : paintGround(ground.name, ground.seed)
      painted = { key, pixels }
    }
    return painted.pixels
  }

  function fill(color) {
    const channels = [0, 2, 4].map((at) => parseInt(color.slice(at, at + 2), 16))
    return Float32Array.from({ length: S * S * 3 }, (_, i) => channels[i % 3])
  }

  // A toy cut out: { side, data }, data Uint8ClampedArray [side * side * 4]. Bicubic, with antialiasing, and colors
  // weighted by alpha, as Pillow does it: a toy looks as it does in the training scenes.
  const cutouts = new Map()
  function cutOut(toy, picture) {
    const key = `${toy.label} ${toy.size} ${toy.tilt} ${toy.mirrored}`
    if (!cutouts.has(key)) {
      if (cutouts.size > 200) cutouts.clear()
      cutouts.set(key, resample(picture, toy))
    }
    return cutouts.get(key)
  }

  function resample(picture, { size, tilt, mirrored }) {
    const angle = (tilt * Math.PI) / 180
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    const overhang = Math.ceil((size * (Math.abs(cos) + Math.abs(sin) - 1)) / 2) // of a tilted toy's corners
    const side = size + 2 * overhang
    const scale = SPRITE / size
    const data = new Uint8ClampedArray(side * side * 4)
    for (let i = 0; i < side * side; i++) {
      const [down, right] = [Math.floor(i / side) + 0.5 - side / 2, (i % side) + 0.5 - side / 2]
      const across = cos * right - sin * down
      const rows = taps(((sin * right + cos * down) / size + 0.5) * SPRITE, scale)
      const columns = taps(((mirrored ? -across : across) / size + 0.5) * SPRITE, scale)
      let [red, green, blue, alpha] = [0, 0, 0, 0]
      for (let y = 0; y < rows.weights.length; y++) {
        for (let x = 0; x < columns.weights.length; x++) {
          const at = 4 * ((rows.first + y) * SPRITE + columns.first + x)
          const weight = rows.weights[y] * columns.weights[x] * picture[at + 3]
          red += weight * picture[at]
          green += weight * picture[at + 1]
          blue += weight * picture[at + 2]
          alpha += weight
        }
      }
      if (alpha > 0) data.set([red / alpha, green / alpha, blue / alpha, alpha], 4 * i) // rounded and clipped
    }
    return { side, data }
  }

  // The pixels of the picture that one output pixel is made of, along one axis, and their weights, whose sum is 1.
  function taps(center, scale) {
    const first = Math.max(Math.round(center - 2 * scale), 0)
    const last = Math.min(Math.round(center + 2 * scale), SPRITE)
    const weights = []
    for (let at = first; at < last; at++) weights.push(cubic((at + 0.5 - center) / scale))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { first, weights: weights.map((weight) => weight / sum) }
  }

  // In which ways a scene is unlike all that the model was trained on: short phrases.
  function strangeness(scene, { visible }) {
    const { toys, grounds, count, sizes, tilt } = LEARNED
    const isCut = ({ y, x, size }) => Math.min(y, x, S - y, S - x) < Math.floor(size / 2)
    const found = {
      "a photo or drawing": scene.ground.name === "picture",
      "a plain ground": scene.ground.name === "plain" && !grounds.includes("plain"),
      "no toy at all": scene.toys.length === 0 && scene.ground.name !== "picture",
      [`more than ${count} toys`]: scene.toys.length > count,
      "tilted toys": scene.toys.some((toy) => Math.abs(toy.tilt) > tilt),
      [`toys smaller than ${sizes[0]} pixels`]: scene.toys.some((toy) => toy.size < sizes[0]),
      [`toys larger than ${sizes[1]} pixels`]: scene.toys.some((toy) => toy.size > sizes[1]),
      "toys cut off by the edge": scene.toys.some((toy) => toy.tilt === 0 && isCut(toy)),
      [`toys covered by more than ${Math.round(100 * (1 - LEARNED.visible))} %`]: scene.toys.some(
        (toy, index) => visible[index] < LEARNED.visible && !isCut(toy),
      ),
    }
    const unknown = new Set(scene.toys.map((toy) => toy.label).filter((label) => !toys.includes(label)))
    return [...[...unknown].map((label) => `a ${label}`), ...Object.keys(found).filter((phrase) => found[phrase])]
  }

  // A random scene of the kind that the model was trained on.
  function randomScene(random) {
    const choose = (list) => list[Math.floor(random() * list.length)]
    const scene = { ground: { name: choose(LEARNED.grounds), seed: Math.floor(random() * 10000) }, toys: [] }
    const count = 1 + Math.floor(random() * LEARNED.count)
    while (scene.toys.length < count) {
      const isRepeat = scene.toys.length > 0 && random() < REPEAT_CHANCE
      scene.toys.push(placeToy(scene, isRepeat ? choose(scene.toys).label : choose(LEARNED.toys), random))
    }
    return scene
  }

  // A new toy where it overlaps the others least: of 30 random positions the best, smaller toys last.
  function placeToy(scene, label, random = Math.random) {
    const [smallest, largest] = LEARNED.sizes
    let best = { overlap: Infinity }
    for (let trial = 0; trial < 30 && best.overlap > 0; trial++) {
      const size = Math.round(smallest + random() * (largest - smallest) * (1 - trial / 30))
      const [y, x] = [0, 1].map(() => Math.round(size / 2 + random() * (S - size)))
      const overlap = scene.toys.reduce((sum, other) => {
        const [down, across] = [y - other.y, x - other.x].map((gap) => (size + other.size) / 2 - Math.abs(gap))
        return sum + Math.max(down, 0) * Math.max(across, 0)
      }, 0)
      if (overlap < best.overlap) best = { overlap, y, x, size }
    }
    return { label, y: best.y, x: best.x, size: best.size, tilt: 0, mirrored: random() < 0.5 }
  }

  // Keep a toy within what the page offers: its center is in the image.
  function limit(toy) {
    const clip = (value, low, high) => Math.min(Math.max(Math.round(value), low), high)
    toy.y = clip(toy.y, 0, S)
    toy.x = clip(toy.x, 0, S)
    toy.size = clip(toy.size, ...OFFERED.sizes)
    toy.tilt = Math.round(((((toy.tilt + 180) % 360) + 360) % 360) - 180)
    return toy
  }

  // "sand.3_cat.56.40.48_dog.70.80.40.-15.m": the ground, then each toy's y, x, size, tilt, and m if it is mirrored.
  function toText(scene) {
    const { name, seed, color } = scene.ground
    const toys = scene.toys.map((toy) => {
      const parts = [toy.label, toy.y, toy.x, toy.size, toy.tilt, ...(toy.mirrored ? ["m"] : [])]
      return parts.join(".")
    })
    return [`${name}.${name === "plain" ? color : seed}`, ...toys].join("_")
  }

  // The scene of a text, or null if it is none.
  function fromText(text) {
    const [ground, ...toys] = text.split("_").map((item) => item.split("."))
    const [name, detail] = ground
    const isPlain = name === "plain" && /^[0-9a-f]{6}$/.test(detail)
    const isKnown = OFFERED.grounds.includes(name) && /^\d{1,9}$/.test(detail)
    const isToy = ([label, ...numbers]) =>
      OFFERED.toys.includes(label) &&
      numbers.length >= 4 &&
      numbers.slice(0, 4).every((part) => /^-?\d{1,3}$/.test(part))
    if (!(isPlain || isKnown) || toys.length > OFFERED.count || !toys.every(isToy)) return null
    return {
      ground: isPlain ? { name, color: detail } : { name, seed: Number(detail) },
      toys: toys.map(([label, ...numbers]) => {
        const [y, x, size, tilt] = numbers.map(Number)
        return limit({ label, y, x, size, tilt, mirrored: numbers[4] === "m" })
      }),
    }
  }

  return {
    ...{ S, SPRITE, LEARNED, OFFERED, loadToys, render, strangeness },
    ...{ randomScene, placeToy, limit, toText, fromText, randomNumbers },
  }
})
