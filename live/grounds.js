// The grounds of a scene, painted as in toybox/grounds.py. Six have a name, which captions use: soft hills of random
// numbers make a texture, and the texture is colored from a dark shade to a light one. The others have no name. The
// same name and seed give the same ground.
//
// S is the side of an image in pixels, 112.
"use strict"

VLM.part("grounds", () => {
  const S = 112
  const FIELD = 448 // the textures of toybox/grounds.py have this side; we paint only a window of S x S pixels
  // An unnamed texture must not look like a named ground: it is this far from its shades, or has more contrast.
  const [NEAR_SHADE, WIDEST_SPREAD] = [35, 45]

  // Dark and light, RGB: _SHADES in toybox/grounds.py.
  const SHADES = {
    grass: [
      [106, 154, 44],
      [194, 224, 96],
    ],
    sand: [
      [204, 178, 112],
      [246, 230, 172],
    ],
    snow: [
      [176, 198, 232],
      [244, 248, 254],
    ],
    water: [
      [20, 92, 130],
      [104, 190, 206],
    ],
    sky: [
      [96, 168, 236],
      [244, 248, 252],
    ],
    night: [
      [14, 18, 52],
      [250, 246, 214],
    ],
  }

  // Each takes a source of random numbers and returns Float32Array [S * S], about 0..1.
  const TEXTURES = {
    grass: (random) => {
      const [large, blades] = [hills(random, 16, 16), hills(random, 80, 300)] // blades: hills far higher than wide
      return large.map((hill, i) => 0.45 * hill + 0.55 * blades[i])
    },
    sand: (random) => hills(random, 20, 12).map((dune) => 0.55 * dune + 0.45 * random()),
    snow: (random) => hills(random, 20, 10).map((drift) => Math.min(1.3 * drift, 1) + 0.1 * random()),
    water: (random) => {
      const [bends, depths] = [hills(random, 12, 12), hills(random, 14, 8)]
      const start = FIELD * random()
      return depths.map((depth, i) => {
        const [y, x] = [Math.floor(i / S), i % S]
        const crest = Math.sin((start + y) / 1.8 + 1.2 * Math.sin((start + x) / 5) + 10 * bends[i])
        return 0.5 * depth + 0.6 * Math.max(crest, 0) ** 3
      })
    },
    sky: (random) => {
      const [large, small] = [hills(random, 20, 12), hills(random, 60, 40)]
      return large.map((hill, i) => Math.min(Math.max(3 * (0.75 * hill + 0.25 * small[i] - 0.5), 0), 1))
    },
    night: (random) => {
      const texture = hills(random, 12, 12).map((glow) => 0.12 * glow)
      const stars = Math.round((900 * S * S) / FIELD ** 2)
      for (let star = 0; star < stars; star++) {
        texture[Math.floor(random() * texture.length)] = 0.4 + 0.6 * random()
      }
      return texture
    },
  }

  // Each takes a source of random numbers and returns Float32Array [S * S * 3], 0..255.
  const UNNAMED = {
    gradient: (random) => mix(anyColor(random), anyColor(random), ramp(random)),
    noise: (random) => {
      const [color, deviation, isGray] = [anyColor(random), 8 + 37 * random(), random() < 0.5]
      let grain = 0
      return toPixels((_, channel) => {
        if (channel === 0 || !isGray) grain = deviation * normal(random)
        return Math.min(Math.max(color[channel] + grain, 0), 255)
      })
    },
    stripes: (random) => {
      const [[first, second], across] = [twoColors(random), ramp(random)]
      const [waves, sharpness] = [4 + 10 * random(), random() < 0.5 ? 8 : 1]
      const level = (at) => Math.min(Math.max(0.5 + (sharpness * Math.sin(2 * Math.PI * waves * at)) / 2, 0), 1)
      return mix(first, second, across.map(level))
    },
    checks: (random) => {
      const [colors, width] = [twoColors(random), 6 + Math.floor(23 * random())]
      const [down, right] = [0, 1].map(() => Math.floor(width * random()))
      const cell = (at) => Math.floor((Math.floor(at / S) + down) / width) + Math.floor(((at % S) + right) / width)
      return toPixels((at, channel) => colors[cell(at) % 2][channel])
    },
    // Shapes of three colors, the large ones dominating, as in most photographs.
    blur: (random) => {
      const [first, second, third] = [anyColor(random), anyColor(random), anyColor(random)]
      const [inner, outer] = [cloud(random), cloud(random)]
      const below = mix(first, second, inner)
      return below.map((value, i) => value + outer[Math.floor(i / 3)] * (third[i % 3] - value))
    },
  }
  const TEXTURED = ["noise", "stripes", "checks", "blur"]

  function paintGround(name, seed) {
    const random = randomNumbers(seed)
    if (name in SHADES) return paintNamed(name, random)
    for (;;) {
      const pixels = UNNAMED[name](random)
      if (!TEXTURED.includes(name) || !hasShadesOfNamed(pixels)) return pixels
    }
  }

  // No two seeds look the same: texture, shades and the slope of light from top to bottom are random.
  function paintNamed(name, random) {
    const texture = TEXTURES[name](random)
    const brightness = 6 * normal(random)
    const [dark, light] = SHADES[name].map((shade) => shade.map((value) => value + 5 * normal(random) + brightness))
    const steepness = 0.7 * random() - 0.35
    return toPixels((at, channel) => {
      const level = texture[at] + steepness * (Math.floor(at / S) / (S - 1) - 0.5)
      return Math.min(Math.max(dark[channel] + level * (light[channel] - dark[channel]), 0), 255)
    })
  }

  // Whether pixels [S * S * 3] have the colors of a named ground on average, so that they could be mistaken for it.
  function hasShadesOfNamed(pixels) {
    const channels = [0, 1, 2].map((channel) => pixels.filter((_, i) => i % 3 === channel))
    const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
    const mean = channels.map(average)
    const spreads = channels.map((values, c) => Math.sqrt(average(values.map((value) => (value - mean[c]) ** 2))))
    if (Math.max(...spreads) > WIDEST_SPREAD) return false
    return Object.values(SHADES).some(([dark, light]) => {
      const way = light.map((value, c) => value - dark[c])
      const dot = (a, b) => a.reduce((sum, value, c) => sum + value * b[c], 0)
      const fromDark = mean.map((value, c) => value - dark[c])
      const share = Math.min(Math.max(dot(fromDark, way) / dot(way, way), 0), 1)
      return Math.hypot(...fromDark.map((value, c) => value - share * way[c])) < NEAR_SHADE
    })
  }

  // makeValue(at, channel) for each pixel, in reading order, and each of its three channels
  function toPixels(makeValue) {
    return Float32Array.from({ length: S * S * 3 }, (_, i) => makeValue(Math.floor(i / 3), i % 3))
  }

  // From one color to another, by a level 0..1 for each pixel
  function mix(first, second, levels) {
    return toPixels((at, channel) => first[channel] + levels[at] * (second[channel] - first[channel]))
  }

  const anyColor = (random) => [0, 1, 2].map(() => 255 * random())

  // The second may be any color, or one near the first.
  function twoColors(random) {
    const [first, second] = [anyColor(random), anyColor(random)]
    const share = 0.15 + 0.85 * random()
    return [first, first.map((value, c) => value + share * (second[c] - value))]
  }

  // Float32Array [S * S], 0..1 along a random direction
  function ramp(random) {
    const angle = 2 * Math.PI * random()
    const along = Float32Array.from({ length: S * S }, (_, at) => {
      return Math.cos(angle) * (at % S) + Math.sin(angle) * Math.floor(at / S)
    })
    const [least, most] = [Math.min(...along), Math.max(...along)]
    return along.map((value) => (value - least) / (most - least))
  }

  // Float32Array [S * S], 0..1: hills on hills on hills. 0.48 and 1.56: all but 2 % of their sum is above, and below.
  function cloud(random) {
    const octaves = [0, 1, 2, 3, 4, 5].map((octave) => hills(random, 6 * 2 ** octave, 6 * 2 ** octave))
    return octaves[0].map((_, at) => {
      const sum = octaves.reduce((total, field, octave) => total + field[at] / 2 ** octave, 0)
      return Math.min(Math.max((3 * (sum - 0.48)) / (1.56 - 0.48) - 1, 0), 1)
    })
  }

  // Smooth random hills, Float32Array [S * S], about 0..1: a window of a rows x columns grid of random numbers that is
  // enlarged to FIELD x FIELD.
  function hills(random, rows, columns) {
    const [down, across] = [enlarge(rows, random()), enlarge(columns, random())]
    const grid = Float32Array.from({ length: down.cells * across.cells }, random)
    const wide = new Float32Array(down.cells * S) // first along the rows, then along the columns: a fourth of the sums
    for (let y = 0; y < down.cells; y++) {
      for (let x = 0; x < S; x++)
        wide[y * S + x] = fourOf(grid, y * across.cells + across.first[x], 1, across.weights[x])
    }
    const field = new Float32Array(S * S)
    for (let y = 0; y < S; y++) {
      for (let x = 0; x < S; x++) field[y * S + x] = fourOf(wide, down.first[y] * S + x, S, down.weights[y])
    }
    return field
  }

  function fourOf(values, at, step, weights) {
    let sum = 0
    for (let i = 0; i < 4; i++) sum += weights[i] * values[at + i * step]
    return sum
  }

  // For each of S pixels, the first of the four grid cells that it is made of, and their weights.
  function enlarge(count, phase) {
    const first = []
    const weights = []
    for (let pixel = 0; pixel < S; pixel++) {
      const at = ((pixel + 0.5) * count) / FIELD + phase + 1
      first.push(Math.floor(at) - 1)
      weights.push([0, 1, 2, 3].map((i) => cubic(at - (first[pixel] + i))))
    }
    return { first, weights, cells: first[S - 1] + 4 }
  }

  // Pillow's bicubic kernel: 1 at distance 0, 0 from distance 2 on.
  function cubic(distance) {
    const x = Math.abs(distance)
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
  }

  // A source of random numbers in [0, 1): Mulberry32, by Tommy Ettinger (public domain).
  function randomNumbers(seed) {
    let state = seed >>> 0
    return () => {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    }
  }

  // Mean 0, variance 1: the Box-Muller transform.
  const normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

  return { S, NAMED: Object.keys(SHADES), UNNAMED: Object.keys(UNNAMED), paintGround, hasShadesOfNamed, randomNumbers }
})
