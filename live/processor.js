// From an image as a page has it to the numbers that the vision tower expects, to the same byte as vlm/image_processing.py,
// and from a prompt to token ids, as vlm/processor.py. The resampling is Pillow's (its file Resample.c): columns first, then
// rows, weights as whole numbers of 1 / 2**22.
VLM.part("processor", () => {
  const { Matrix } = VLM.tensor

  const FRACTION_BITS = 22

  // { data, width, height }, 3 or 4 bytes a pixel -> [1, 3 * S * S], red, green and blue one after another, in -1..1
  function processImage(image, size) {
    return normalize(resize(toRgb(image), size, size), size)
  }

  // Transparent pixels show white behind them. Whole numbers, as in Pillow's alpha_composite.
  function toRgb({ data, width, height }) {
    const channels = data.length / (width * height)
    const rgb = new Uint8ClampedArray(width * height * 3)
    for (let pixel = 0; pixel < width * height; pixel++) {
      const alpha = channels === 4 ? data[pixel * 4 + 3] : 255
      for (let channel = 0; channel < 3; channel++) {
        const mixed = (data[pixel * channels + channel] * alpha + 255 * (255 - alpha) + 128) << 7
        rgb[pixel * 3 + channel] = (mixed + (mixed >> 8)) >> 15
      }
    }
    return { data: rgb, width, height }
  }

  // Bicubic, with antialiasing; the aspect ratio is not kept. A side that has the right size already is left alone.
  function resize(image, width, height) {
    const toBytes = (weights) => weights.map((weight) => Math.trunc(weight * 2 ** FRACTION_BITS + Math.sign(weight) / 2))
    if (width !== image.width) {
      const columns = resampleWeights(image.width, width, cubic, 2)
      const data = new Uint8ClampedArray(width * image.height * 3)
      columns.forEach(({ first, weights }, x) => {
        const whole = toBytes(weights)
        for (let y = 0; y < image.height; y++) {
          for (let channel = 0; channel < 3; channel++) {
            const start = (y * image.width + first) * 3 + channel
            data[(y * width + x) * 3 + channel] = weightedByte(image.data, start, 3, whole)
          }
        }
      })
      image = { data, width, height: image.height }
    }
    if (height !== image.height) {
      const rows = resampleWeights(image.height, height, cubic, 2)
      const data = new Uint8ClampedArray(width * height * 3)
      rows.forEach(({ first, weights }, y) => {
        const whole = toBytes(weights)
        for (let i = 0; i < width * 3; i++) {
          data[y * width * 3 + i] = weightedByte(image.data, first * width * 3 + i, width * 3, whole)
        }
      })
      image = { data, width, height }
    }
    return image
  }

  function weightedByte(data, start, step, weights) {
    let sum = 2 ** (FRACTION_BITS - 1) // rounds
    for (let i = 0; i < weights.length; i++) sum += data[start + i * step] * weights[i]
    return sum >> FRACTION_BITS // the array clamps it to 0..255
  }

  // For each new pixel of a row the first old pixel that it reads, and the weights of that one and the next ones.
  function resampleWeights(oldSize, newSize, kernel, radius) {
    const ratio = oldSize / newSize
    const stretch = Math.max(ratio, 1) // a smaller image averages over more pixels
    return Array.from({ length: newSize }, (_, i) => {
      const center = (i + 0.5) * ratio
      const first = Math.max(Math.trunc(center - radius * stretch + 0.5), 0)
      const end = Math.min(Math.trunc(center + radius * stretch + 0.5), oldSize)
      const values = Array.from({ length: end - first }, (_, k) => kernel((first + k - center + 0.5) * (1 / stretch)))
      const sum = values.reduce((total, value) => total + value, 0)
      return { first, weights: values.map((value) => value / sum) }
    })
  }

  // Keys, "Cubic convolution interpolation" (1981), with a = -0.5.
  function cubic(x) {
    const a = -0.5
    const distance = Math.abs(x)
    if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1
    if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a
    return 0
  }

  function linear(x) {
    return Math.max(1 - Math.abs(x), 0)
  }

  function normalize({ data }, size) {
    const values = new Matrix(1, 3 * size * size)
    return values.map((_, i) => {
      const [channel, pixel] = [Math.floor(i / (size * size)), i % (size * size)]
      return (Math.fround(data[pixel * 3 + channel] / 255) - 0.5) / 0.5
    })
  }

  // N image tokens, <bos>, the prompt, a newline; padding before all of it.
  function encodePrefix(prompt, tokenizer, config, padding = 0) {
    const ids = tokenizer.encode(`${prompt}\n`)
    const own = [config.image_token_index, config.bos_token_id, config.eos_token_id, config.pad_token_id].flat()
    const forged = ids.find((id) => own.includes(id))
    if (forged !== undefined) {
      throw new Error(`The prompt contains ${tokenizer.tokens[forged]}. Take it out: it is put where it belongs.`)
    }
    const { image_size: size, patch_size: patch } = config.vision_config
    const image = Array((size / patch) ** 2).fill(config.image_token_index)
    return [...Array(padding).fill(config.pad_token_id), ...image, config.bos_token_id, ...ids]
  }

  return { processImage, toRgb, resize, resampleWeights, linear, normalize, encodePrefix }
})
