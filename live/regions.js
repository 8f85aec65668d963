// Boxes and masks of an answer, as in vlm/regions/boxes.py, mask_vqvae.py and segmentation.py.
VLM.part("regions", () => {
  const { Matrix, matmul, add, Module, Linear } = VLM.tensor
  const { resample, BILINEAR } = VLM.resample

  const LAST_BIN = 1023
  const NUM_MASK_CODES = 128
  const CODES_PER_MASK = 16
  const MASK_SIZE = 64

  // ---- vlm/regions/boxes.py ----

  const ITEM = /(?<run>(?:<loc[0-9]*>\s*)+)(?<shape>(?:<seg[0-9]*>\s*)*)(?<label>[^;<>]*)/g

  // Text -> [{ label, box: [yMin, xMin, yMax, xMax] in pixels, maskCodes: 16 numbers or null }], without invalid boxes
  function parseDetections(text, height, width) {
    return Array.from(text.matchAll(ITEM), ({ groups }) => ({
      label: groups.label.trim(),
      box: parseBox(findDigits(groups.run), height, width),
      maskCodes: parseMaskCodes(findDigits(groups.shape)),
    })).filter(({ box }) => box)
  }

  // "<loc0012><loc0034>" -> ["0012", "0034"]
  function findDigits(tokens) {
    return Array.from(tokens.matchAll(/([0-9]*)>/g), (match) => match[1])
  }

  // Four strings like "0012" -> a box, or null
  function parseBox(digits, height, width) {
    const [yMin, xMin, yMax, xMax] = digits.map(Number)
    const valid = digits.length === 4 && digits.every((text) => text.length === 4 && Number(text) <= LAST_BIN)
    if (!valid || yMax <= yMin || xMax <= xMin) return null
    return [yMin, xMin, yMax, xMax].map((bin, i) => (bin * (i % 2 ? width : height)) / LAST_BIN)
  }

  // Sixteen strings like "012" -> a mask, or null
  function parseMaskCodes(digits) {
    const valid = digits.every((text) => text.length === 3 && Number(text) < NUM_MASK_CODES)
    return valid && digits.length === CODES_PER_MASK ? digits.map(Number) : null
  }

  // ---- vlm/regions/mask_vqvae.py; a grid is a Matrix with a row of C channels for each of its G * G cells ----

  class ResidualBlock extends Module {
    constructor() {
      super()
      this.net = [new Convolution(3), new ReLU(), new Convolution(3), new ReLU(), new Convolution(1)]
    }

    // [G * G, C] -> the same shape
    forward(hiddenStates) {
      return add(hiddenStates, runAll(this.net, hiddenStates))
    }
  }

  class MaskDecoder extends Module {
    codebook = null // [V, D]

    constructor() {
      super()
      const doubling = () => [new TransposedConvolution(), new ReLU()]
      this.decoder = [new Convolution(1), new ReLU(), new ResidualBlock(), new ResidualBlock()]
      this.decoder.push(...doubling(), ...doubling(), ...doubling(), ...doubling(), new Convolution(1))
    }

    // 16 codes of a 4 x 4 grid -> S * S numbers, about -1 outside the object and 1 inside
    forward(codes) {
      const grid = new Matrix(codes.length, this.codebook.width) // [16, D]
      codes.forEach((code, i) => grid.row(i).set(this.codebook.row(code)))
      return runAll(this.decoder, grid).data
    }
  }

  function runAll(layers, grid) {
    return layers.reduce((states, layer) => layer.forward(states), grid)
  }

  class ReLU extends Module {
    forward(grid) {
      return grid.map((value) => Math.max(value, 0))
    }
  }

  // Kernel size K (odd), stride 1, padded so that the grid keeps its size: a linear layer over K x K neighborhoods.
  class Convolution extends Linear {
    constructor(kernelSize) {
      super()
      this.kernelSize = kernelSize
    }

    forward(grid) {
      const [size, side, reach] = [this.kernelSize, Math.sqrt(grid.rows), (this.kernelSize - 1) / 2]
      const neighborhoods = new Matrix(grid.rows, grid.width * size * size) // [G * G, C * K * K]
      forEachCell(side, (y, x) => {
        forEachCell(size, (ky, kx) => {
          const [fromY, fromX] = [y + ky - reach, x + kx - reach]
          if (fromY < 0 || fromY >= side || fromX < 0 || fromX >= side) return
          const [from, to] = [grid.row(fromY * side + fromX), neighborhoods.row(y * side + x)]
          from.forEach((value, channel) => (to[(channel * size + ky) * size + kx] = value))
        })
      })
      return super.forward(neighborhoods)
    }
  }

  // Kernel size 4, stride 2, padding 1: each cell adds 4 x 4 vectors to a grid of twice the side.
  class TransposedConvolution extends Module {
    weight = null // [C, C' * 4 * 4]
    bias = null // [C']

    forward(grid) {
      const [side, channels] = [Math.sqrt(grid.rows), this.bias.length]
      const result = new Matrix(grid.rows * 4, channels).map((_, i) => this.bias[i % channels])
      const products = matmul(grid, this.weight) // [G * G, C' * 4 * 4]
      forEachCell(side, (y, x) => {
        const from = products.row(y * side + x)
        forEachCell(4, (ky, kx) => {
          const [toY, toX] = [2 * y + ky - 1, 2 * x + kx - 1]
          if (toY < 0 || toY >= 2 * side || toX < 0 || toX >= 2 * side) return
          const to = result.row(toY * 2 * side + toX)
          for (let channel = 0; channel < channels; channel++) to[channel] += from[(channel * 4 + ky) * 4 + kx]
        })
      })
      return result
    }
  }

  function forEachCell(side, visit) {
    for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) visit(y, x)
  }

  // ---- vlm/regions/segmentation.py ----

  // S * S numbers of a decoded mask, stretched over the box -> Uint8Array [height * width], 1 inside
  function pasteMask(values, box, height, width) {
    const [yMin, xMin, yMax, xMax] = wholePixels(box, height, width)
    const square = { data: values, width: MASK_SIZE, height: MASK_SIZE, channels: 1 }
    const stretched = resample(square, xMax - xMin, yMax - yMin, BILINEAR)
    const mask = new Uint8Array(height * width)
    stretched.data.forEach((value, i) => {
      const [y, x] = [Math.floor(i / stretched.width), i % stretched.width]
      mask[(yMin + y) * width + xMin + x] = value > 0 ? 1 : 0
    })
    return mask
  }

  // At least one pixel wide and high, and inside the image
  function wholePixels(box, height, width) {
    let [yMin, xMin, yMax, xMax] = box.map(roundHalfToEven)
    ;[yMin, xMin] = [Math.max(yMin, 0), Math.max(xMin, 0)]
    ;[yMax, xMax] = [Math.min(Math.max(yMax, yMin + 1), height), Math.min(Math.max(xMax, xMin + 1), width)]
    return [yMin, xMin, yMax, xMax]
  }

  // As Python rounds.
  function roundHalfToEven(value) {
    const rounded = Math.round(value)
    return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded
  }

  return { parseDetections, MaskDecoder, pasteMask }
})
