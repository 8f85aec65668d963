// The grounds of a scene, painted as toybox/scenes.py paints them: soft hills of random numbers make a texture, and the
// texture is colored from a dark shade to a light one. The same name and seed give the same ground.
//
// S is the side of an image in pixels, 112.
"use strict"

VLM.part("grounds", () => {
  const S = 112
  const FIELD = 448 // the textures of toybox/scenes.py have this side; we paint only a window of S x S pixels

  // Dark and light, red-green-blue: _SHADES in toybox/scenes.py.
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

  // A ground of a name in SHADES: Float32Array [S * S * 3], 0..255. No two seeds look the same: texture, shades and the
  // slope of light from top to bottom are random.
  function paintGround(name, seed) {
    const random = randomNumbers(seed)
    const texture = TEXTURES[name](random)
    const brightness = 6 * normal(random)
    const [dark, light] = SHADES[name].map((shade) => shade.map((value) => value + 5 * normal(random) + brightness))
    const steepness = 0.7 * random() - 0.35
    const pixels = new Float32Array(S * S * 3)
    for (let i = 0; i < S * S; i++) {
      const level = texture[i] + steepness * (Math.floor(i / S) / (S - 1) - 0.5)
      for (let c = 0; c < 3; c++) {
        pixels[3 * i + c] = Math.min(Math.max(dark[c] + level * (light[c] - dark[c]), 0), 255)
      }
    }
    return pixels
  }

  // Smooth random hills, Float32Array [S * S], about 0..1: a window of a rows x columns grid of random numbers that is
  // enlarged to FIELD x FIELD.
  function hills(random, rows, columns) {
    const [down, across] = [enlarge(rows, random()), enlarge(columns, random())]
    const grid = Float32Array.from({ length: down.cells * across.cells }, random)
    const field = new Float32Array(S * S)
    for (let y = 0; y < S; y++) {
      for (let x = 0; x < S; x++) {
        let sum = 0
        for (let i = 0; i < 4; i++) {
          for (let j = 0; j < 4; j++) {
            const cell = (down.first[y] + i) * across.cells + across.first[x] + j
            sum += down.weights[y][i] * across.weights[x][j] * grid[cell]
          }
        }
        field[y * S + x] = sum
      }
    }
    return field
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

  return { S, paintGround, cubic, randomNumbers }
})
