// A scene as a text for links, and back. After the ground come its sign and its toys, the lowest first:
//
//     sand.3_sign-STOP.90.60.20.0.red_cat.56.40.48.0_blue-car.70.80.40.-15.m
//
//     sign-word . y . x . size . tilt . paint
//     label . y . x . size . tilt, and .m if it is mirrored; before the label its color, unless it is the original one
"use strict"

VLM.part("sceneText", () => {
  const { LEARNED, OFFERED, NATURAL_COLORS, PAINTS, thingsOf, isSign, limit } = VLM.scene
  const { COLORS } = VLM.sprites
  const SIGN = "sign"

  function toText(scene) {
    const { name, seed, color } = scene.ground
    const things = thingsOf(scene).map((thing) => {
      const { y, x, size, tilt } = thing
      const extra = isSign(thing) ? [thing.paint] : thing.mirrored ? ["m"] : []
      return [nameIn(thing), y, x, size, tilt, ...extra].join(".")
    })
    return [`${name}.${name === "plain" ? color : seed}`, ...things].join("_")
  }

  function nameIn({ word, label, color }) {
    if (word) return `${SIGN}-${word}`
    return color === naturalColor(label) ? label : `${color}-${label}`
  }

  // The scene of a text, or null if the text is not a scene.
  function fromText(text) {
    const [groundText, ...items] = text.split("_")
    const ground = readGround(...groundText.split("."))
    const things = items.map((item) => readThing(...item.split(".")))
    if (!ground || things.includes(null)) return null
    const [sign = null, ...more] = things.filter(isSign)
    const toys = things.filter((thing) => !isSign(thing))
    return more.length > 0 || toys.length > OFFERED.count ? null : { ground, sign, toys }
  }

  function readGround(name, detail = "") {
    if (name === "plain") return /^[0-9a-f]{6}$/.test(detail) ? { name, color: detail } : null
    return OFFERED.grounds.includes(name) && /^\d{1,9}$/.test(detail) ? { name, seed: Number(detail) } : null
  }

  function readThing(name, ...parts) {
    const numbers = parts.slice(0, 4)
    if (numbers.length < 4 || !numbers.every((part) => /^-?\d{1,3}$/.test(part))) return null
    const [y, x, size, tilt] = numbers.map(Number)
    const [first, second] = name.split("-")
    if (first === SIGN) {
      const isKnown = LEARNED.words.includes(second) && Object.keys(PAINTS).includes(parts[4])
      return isKnown ? limit({ word: second, paint: parts[4], y, x, size, tilt }) : null
    }
    const [label, color] = second === undefined ? [first, naturalColor(first)] : [second, first]
    const comesIn = label in NATURAL_COLORS ? Object.keys(COLORS) : [null]
    if (!OFFERED.toys.includes(label) || !comesIn.includes(color)) return null
    return limit({ label, color, y, x, size, tilt, mirrored: parts[4] === "m" })
  }

  const naturalColor = (label) => NATURAL_COLORS[label] ?? null

  return { toText, fromText }
})
