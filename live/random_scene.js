// Random scenes of the kinds that the model was trained on, and positions for new things.
"use strict"

VLM.part("randomScene", () => {
  const { S, LEARNED, NATURAL_COLORS, PAINTS, thingsOf, sidesOf } = VLM.scene
  const { NAMED, UNNAMED } = VLM.grounds
  const { COLORS } = VLM.sprites

  // As in toybox/scenes.py, grounds.py and placement.py
  const NUMBERS = [0.04, 0.24, 0.26, 0.21, 0.12, 0.08, 0.05] // the probability of 0, 1, ... 6 toys
  const CHANCES = { named: 0.5, repeat: 0.4, natural: 0.5, tilt: 0.4, sign: 0.18, large: 0.2 }
  const LARGE = [60, 105] // sides of a single toy, now and then
  const TRIES = 30

  const choose = (list, random) => list[Math.floor(random() * list.length)]
  const between = (low, high, random) => Math.round(low + random() * (high - low))
  const anySeed = (random) => Math.floor(random() * 10000)

  function randomScene(random) {
    const scene = { ground: randomGround(random), sign: null, toys: [] }
    const count = drawCount(random())
    if (count <= LEARNED.countWithSign && random() < CHANCES.sign) scene.sign = placeSign(scene, random)
    while (scene.toys.length < count) {
      const isRepeat = scene.toys.length > 0 && random() < CHANCES.repeat
      const label = isRepeat ? choose(scene.toys, random).label : choose(LEARNED.toys, random)
      const isLarge = count === 1 && !scene.sign && random() < CHANCES.large
      const toy = placeToy(scene, label, random, isLarge ? LARGE : usualSizes(count))
      if (toy.color && random() >= CHANCES.natural) toy.color = choose(Object.keys(COLORS), random)
      if (random() < CHANCES.tilt) toy.tilt = between(-LEARNED.tilt, LEARNED.tilt, random)
      scene.toys.push(toy)
    }
    return scene
  }

  function drawCount(share) {
    let [count, sum] = [0, NUMBERS[0]]
    while (sum < share && count < NUMBERS.length - 1) sum += NUMBERS[++count]
    return count
  }

  function randomGround(random) {
    const name = choose(random() < CHANCES.named ? NAMED : ["plain", ...UNNAMED], random)
    if (name !== "plain") return { name, seed: anySeed(random) }
    const color = Math.floor(random() * 2 ** 24)
    return { name, color: color.toString(16).padStart(6, "0") }
  }

  // The more toys, the smaller they are.
  function usualSizes(count) {
    if (count === 1) return [26, LEARNED.largestWithSign]
    return [count < 4 ? 26 : 21, LEARNED.largest[count - 1] ?? LEARNED.largest.at(-1)]
  }

  // A new toy where it overlaps the others least.
  function placeToy(scene, label, random = Math.random, sizes = usualSizes(scene.toys.length + 1)) {
    const toy = { label, color: NATURAL_COLORS[label] ?? null, tilt: 0, mirrored: random() < 0.5 }
    return place(scene, toy, sizes, random)
  }

  function placeSign(scene, random = Math.random) {
    const sign = { word: choose(LEARNED.words, random), paint: choose(Object.keys(PAINTS), random), tilt: 0 }
    return place(scene, sign, LEARNED.signSizes, random)
  }

  // Gives a thing its size and position: the best of several, smaller ones last.
  function place(scene, thing, [smallest, largest], random) {
    let best = { overlap: Infinity }
    for (let trial = 0; trial < TRIES && best.overlap > 0; trial++) {
      const size = between(smallest, smallest + (largest - smallest) * (1 - trial / TRIES), random)
      const sides = sidesOf({ ...thing, size })
      const [y, x] = sides.map((side) => between(Math.ceil(side / 2), Math.floor(S - side / 2), random))
      const overlap = thingsOf(scene).reduce((sum, other) => {
        const [down, across] = [y - other.y, x - other.x].map(
          (gap, axis) => (sides[axis] + sidesOf(other)[axis]) / 2 - Math.abs(gap),
        )
        return sum + Math.max(down, 0) * Math.max(across, 0)
      }, 0)
      if (overlap < best.overlap) best = { overlap, y, x, size }
    }
    return Object.assign(thing, { y: best.y, x: best.x, size: best.size })
  }

  return { NUMBERS, CHANCES, randomScene, anySeed, placeToy, placeSign }
})
