// Resizing as Pillow does it (its file Resample.c), to the same byte: every new pixel is a weighted mean of old ones,
// in a pass for the width and one for the height. An image is { data, width, height, channels }; its data are bytes
// (Uint8ClampedArray) or floats (Float32Array), and so are the data between the passes.
VLM.part("resample", () => {
  const FRACTION_BITS = 22 // of the weights of bytes, which are integers

  const BICUBIC = { kernel: cubic, radius: 2 }
  const BILINEAR = { kernel: (x) => Math.max(1 - Math.abs(x), 0), radius: 1 }

  function resample(image, width, height, filter) {
    // Since version 13 Pillow begins with the height where that loses far more pixels.
    const heightFirst = image.height > height && image.height - height > 2 * (image.width - width)
    if (heightFirst) return resampleSide(resampleSide(image, "height", height, filter), "width", width, filter)
    return resampleSide(resampleSide(image, "width", width, filter), "height", height, filter)
  }

  // One pass; side is "width" or "height". A side that has the right size is left alone.
  function resampleSide(image, side, newSize, filter) {
    if (image[side] === newSize) return image
    const { channels } = image
    const result = { ...image, [side]: newSize }
    result.data = new image.data.constructor(result.width * result.height * channels)
    const mean = image.data instanceof Float32Array ? meanOfFloats : meanOfBytes
    const step = side === "width" ? channels : image.width * channels // between neighbors in `data`
    const table = makeWeights(image[side], newSize, filter).map(({ first, weights }) => {
      return { first, weights: mean === meanOfBytes ? weights.map(toWhole) : weights }
    })
    for (let y = 0; y < result.height; y++) {
      for (let x = 0; x < result.width; x++) {
        const { first, weights } = table[side === "width" ? x : y]
        const start = side === "width" ? (y * image.width + first) * channels : (first * image.width + x) * channels
        for (let channel = 0; channel < channels; channel++) {
          result.data[(y * result.width + x) * channels + channel] = mean(image.data, start + channel, step, weights)
        }
      }
    }
    return result
  }

  // For each new pixel the first old one that it reads, and the weights of that one and those after it. They sum to 1.
  function makeWeights(oldSize, newSize, { kernel, radius }) {
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

  function toWhole(weight) {
    return Math.trunc(weight * 2 ** FRACTION_BITS + Math.sign(weight) / 2)
  }

  function meanOfBytes(data, start, step, weights) {
    let sum = 2 ** (FRACTION_BITS - 1) // rounds
    for (let i = 0; i < weights.length; i++) sum += data[start + i * step] * weights[i]
    return sum >> FRACTION_BITS // the array clamps it to 0..255
  }

  function meanOfFloats(data, start, step, weights) {
    let sum = 0
    for (let i = 0; i < weights.length; i++) sum += data[start + i * step] * weights[i]
    return sum
  }

  return { resample, BICUBIC, BILINEAR }
})
