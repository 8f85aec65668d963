// A scene that a reader composes: toys and a sign on a ground. Draws it into the S x S pixels that the model sees, as
// toybox/scenes.py does. scene_text.js writes it into a link and reads it from there.
//
//     scene   { ground, sign, toys }   the last toy lies on top; the sign, or null, is under all toys
//     ground  { name: "sand", seed: 3 }, or { name: "plain", color: "808080" }, or { name: "picture", pixels }
//     toy     { label, color, y, x, size, tilt, mirrored }   center and side in pixels of S x S; degrees counter-clockwise
//     sign    { word, paint, y, x, size, tilt }              size is its height
//
// A thing is a toy or a sign. The color of a toy whose kind does not come in colors is null.
"use strict"

VLM.part("scene", () => {
  const { S, NAMED, UNNAMED, paintGround } = VLM.grounds
  const { NATURAL_COLORS, PAINTS, makeToy, makeSign, makeBoard, recolor, signWidth } = VLM.sprites

  // What the shipped model was trained on (toybox/scenes.py, placement.py, signs.py), and what the page offers. What is
  // offered beyond the training is there to be tried, and `strangeness` says so. Another checkpoint needs changes here
  // and nowhere else.
  const LEARNED = {
    toys: [
      ...["apple", "ball", "banana", "bird", "boat", "bus", "butterfly", "cake", "car", "cat"],
      ...["clock", "dog", "fish", "flower", "frog", "house", "pizza", "rocket", "tree", "turtle"],
    ],
    grounds: [...NAMED, "plain", ...UNNAMED],
    count: 6, // toys in a scene, at most
    smallest: 14,
    largest: [105, 64, 56, 48, 40, 36], // of a single toy, of two, of three, ...
    tilt: 20,
    visible: 0.36, // the fraction of one toy that another leaves visible, at least
    visibleElse: 0.75, // of the others
    outside: 0.38, // the fraction of one toy that lies outside of the image, at most
    words: [
      ...["ART", "BUS", "CAFE", "EXIT", "FARM", "GYM", "HOTEL", "ICE"],
      ...["MENU", "OPEN", "PARK", "SALE", "SHOP", "STOP", "TAXI", "ZOO"],
    ],
    signSizes: [18, 28],
    signTilt: 6,
    countWithSign: 3,
    largestWithSign: 72,
  }
  const OFFERED = {
    toys: [...LEARNED.toys, "penguin"],
    grounds: LEARNED.grounds,
    count: 8,
    sizes: [8, S],
    tilt: 180,
  }

  const OPAQUE = 128 // from this alpha on (of 255), a pixel belongs to the toy

  const isSign = (thing) => "word" in thing
  const nameOf = (thing) => (isSign(thing) ? "sign" : thing.label)
  const thingsOf = ({ sign, toys }) => (sign ? [sign, ...toys] : toys)
  // Height and width in pixels of S x S, before it is rotated
  const sidesOf = (thing) => [thing.size, isSign(thing) ? signWidth(thing) : thing.size]

  // What the model sees of a scene.
  //     pixels    Uint8ClampedArray [S * S * 3]
  //     owner     Int8Array [S * S], the index of the toy at each pixel, -1 for the ground and the sign
  //     boxes     for each toy [yMin, xMin, yMax, xMax] around its visible part, or null
  //     inside    for each toy the fraction of it that lies inside the image
  //     visible   for each toy the fraction of what lies inside that can be seen
  //     signBox   [yMin, xMin, yMax, xMax], or null
  function render(scene, pictures) {
    const colors = Float32Array.from(drawGround(scene.ground))
    const owner = new Int8Array(S * S).fill(-1)
    const signBox = scene.sign && paste(cutOut(scene.sign, pictures), scene.sign, colors, () => {})
    const areas = scene.toys.map((toy, index) => {
      const sprite = cutOut(toy, pictures)
      paste(sprite, toy, colors, (at) => (owner[at] = index))
      return { inside: countOf(owner, index), whole: sprite.data.filter((a, i) => i % 4 === 3 && a >= OPAQUE).length }
    })
    return {
      pixels: Uint8ClampedArray.from(colors), // rounds to the nearest integer
      owner,
      boxes: scene.toys.map((_, index) => boxAround(owner, index)),
      inside: areas.map(({ inside, whole }) => inside / whole),
      visible: areas.map(({ inside }, index) => countOf(owner, index) / inside),
      signBox,
    }
  }

  // Lay a sprite over what is there; own(at) is called for each pixel that belongs to it. Returns the box around all of
  // the sprite, also around what lies outside the image.
  function paste({ width, height, data }, { y: centerY, x: centerX }, colors, own) {
    const [top, left] = [Math.round(centerY - height / 2), Math.round(centerX - width / 2)]
    for (let i = 0; i < width * height; i++) {
      const alpha = data[4 * i + 3]
      const [y, x] = [top + Math.floor(i / width), left + (i % width)]
      if (alpha === 0 || y < 0 || y >= S || x < 0 || x >= S) continue
      const at = y * S + x
      for (let c = 0; c < 3; c++) colors[3 * at + c] += (alpha / 255) * (data[4 * i + c] - colors[3 * at + c])
      if (alpha >= OPAQUE) own(at)
    }
    return [top, left, top + height, left + width]
  }

  const countOf = (owner, index) => owner.reduce((count, one) => count + (one === index), 0)

  function boxAround(owner, index) {
    let [top, left, bottom, right] = [S, S, 0, 0]
    owner.forEach((one, at) => {
      if (one !== index) return
      const [y, x] = [Math.floor(at / S), at % S]
      ;[top, left, bottom, right] = [
        Math.min(top, y),
        Math.min(left, x),
        Math.max(bottom, y + 1),
        Math.max(right, x + 1),
      ]
    })
    return bottom > 0 ? [top, left, bottom, right] : null
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

  // The whole image of a thing: of a toy in its color, or the board of a sign. pictures: see pictures.js
  const wholes = new Map()
  function pictureOf(thing, pictures) {
    const { word, size, paint, label, color } = thing
    return remember(wholes, isSign(thing) ? `${word} ${size} ${paint}` : `${label} ${color}`, () =>
      isSign(thing) ? makeBoard(pictures.signs, thing) : recolor(pictures[label], label, color),
    )
  }

  // A thing as it is laid over the ground
  const cutouts = new Map()
  function cutOut(thing, pictures) {
    const { word, paint, label, color, size, tilt, mirrored } = thing
    return remember(cutouts, [word, paint, label, color, size, tilt, mirrored].join(), () =>
      (isSign(thing) ? makeSign : makeToy)(pictureOf(thing, pictures), thing),
    )
  }

  function remember(memory, key, make) {
    if (!memory.has(key)) {
      if (memory.size > 200) memory.clear()
      memory.set(key, make())
    }
    return memory.get(key)
  }

  // In which ways a scene differs from everything that the model was trained on: short phrases.
  function strangeness(scene, { inside, visible, owner, signBox }) {
    const { toys, sign } = scene
    const { count, smallest, countWithSign, signTilt } = LEARNED
    const largest = sign && toys.length === 1 ? LEARNED.largestWithSign : LEARNED.largest[toys.length - 1]
    const percent = (fraction) => `${Math.round(100 * (1 - fraction))} %`
    const isOnSign = (at) => {
      const [y, x] = [Math.floor(at / S), at % S]
      return y >= signBox[0] && x >= signBox[1] && y < signBox[2] && x < signBox[3]
    }
    const found = {
      "a photo or drawing": scene.ground.name === "picture",
      [`more than ${count} toys`]: toys.length > count,
      [`toys tilted by more than ${LEARNED.tilt} degrees`]: toys.some((toy) => Math.abs(toy.tilt) > LEARNED.tilt),
      [`toys smaller than ${smallest} pixels`]: toys.some((toy) => toy.size < smallest),
      [`toys larger than ${largest} pixels${largestOf(toys, sign)}`]: toys.some((toy) => toy.size > largest),
      [`toys covered by more than ${percent(LEARNED.visible)}`]: visible.some((part) => part < LEARNED.visible),
      [`several toys covered by more than ${percent(LEARNED.visibleElse)}`]:
        visible.filter((part) => part < LEARNED.visibleElse).length > 1,
      [`toys more than ${percent(1 - LEARNED.outside)} outside`]: inside.some((part) => part < 1 - LEARNED.outside),
      "several toys cut off by the edge": inside.filter((part) => part < 1).length > 1,
      [`a sign with more than ${countWithSign} toys`]: sign && toys.length > countWithSign,
      [`a sign tilted by more than ${signTilt} degrees`]: sign && Math.abs(sign.tilt) > signTilt,
      "a sign cut off by the edge": sign && (Math.min(...signBox) < 0 || Math.max(...signBox) > S),
      "a sign behind a toy": sign && owner.some((index, at) => index >= 0 && isOnSign(at)),
    }
    const unknown = new Set(toys.map((toy) => toy.label).filter((label) => !LEARNED.toys.includes(label)))
    return [...[...unknown].map((label) => `a ${label}`), ...Object.keys(found).filter((phrase) => found[phrase])]
  }

  // To what the largest size applies
  function largestOf(toys, sign) {
    if (toys.length > 1) return `, ${toys.length} of them`
    return sign ? " beside a sign" : ""
  }

  // Keep a thing within what the page offers: its center is in the image.
  function limit(thing) {
    const clip = (value, low, high) => Math.min(Math.max(Math.round(value), low), high)
    thing.y = clip(thing.y, 0, S)
    thing.x = clip(thing.x, 0, S)
    thing.size = clip(thing.size, ...(isSign(thing) ? LEARNED.signSizes : OFFERED.sizes))
    thing.tilt = Math.round(((((thing.tilt + 180) % 360) + 360) % 360) - 180)
    return thing
  }

  return {
    ...{ S, LEARNED, OFFERED, NATURAL_COLORS, PAINTS, isSign, nameOf, thingsOf, sidesOf },
    ...{ render, pictureOf, strangeness, limit },
  }
})
