// From an image of the page to the numbers that the vision tower expects, as in vlm/image_processing.py, and from a
// prompt to token ids, as in vlm/processor.py.
VLM.part("processor", () => {
  const { Matrix } = VLM.tensor
  const { resample, BICUBIC } = VLM.resample

  // { data, width, height } with 3 or 4 bytes a pixel -> [1, 3 * S * S], in -1..1: all reds, all greens, all blues
  function processImage(image, size) {
    return normalize(resize(toRgb(image), size))
  }

  // Transparent pixels show white behind them. In integers, like Pillow's alpha_composite.
  function toRgb({ data, width, height }) {
    const channels = data.length / (width * height)
    const rgb = new Uint8ClampedArray(width * height * 3).map((_, i) => {
      const [pixel, channel] = [Math.floor(i / 3), i % 3]
      const alpha = channels === 4 ? data[pixel * 4 + 3] : 255
      const mixed = (data[pixel * channels + channel] * alpha + 255 * (255 - alpha) + 128) << 7
      return (mixed + (mixed >> 8)) >> 15
    })
    return { data: rgb, width, height, channels: 3 }
  }

  // Squeezed to a square, whatever the aspect ratio
  function resize(image, size) {
    return resample(image, size, size, BICUBIC)
  }

  function normalize({ data, width, height }) {
    return new Matrix(1, 3 * width * height).map((_, i) => {
      const [channel, pixel] = [Math.floor(i / (width * height)), i % (width * height)]
      return (Math.fround(data[pixel * 3 + channel] / 255) - 0.5) / 0.5
    })
  }

  // Padding, N image tokens, <bos>, the prompt, a newline.
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

  return { processImage, toRgb, resize, encodePrefix }
})
