// Reads the weights file that live/export.py writes, whose docstring describes the format.
VLM.part("weights", () => {
  const { Matrix } = VLM.tensor

  // ArrayBuffer of the file -> { config, tokenizer, model, maskDecoder }, the last two { name: Matrix or Float32Array }
  // pause: called between tensors, so that a page can draw
  async function read(packed, pause = async () => {}) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))
    const bytes = await new Response(stream).arrayBuffer()
    const headerEnd = 4 + new DataView(bytes).getUint32(0, true)
    const { tensors, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, headerEnd - 4)))
    const floatCount = tensors.reduce((sum, [, rows]) => sum + rows, 0)
    const floats = new Float32Array(bytes.slice(headerEnd, headerEnd + 4 * floatCount))
    const integers = new Int8Array(bytes, headerEnd + 4 * floatCount)
    return { ...header, ...splitModels(await readTensors(tensors, floats, integers, pause)) }
  }

  // tensors: [name, length of the vector] or [name, rows, width], in the order of the file.
  async function readTensors(tensors, floats, integers, pause) {
    const entries = []
    let [atFloat, atInteger] = [0, 0]
    for (const [name, rows, width] of tensors) {
      const scales = floats.subarray(atFloat, (atFloat += rows)) // or the vector itself
      const rowIntegers = integers.subarray(atInteger, (atInteger += rows * (width ?? 0)))
      const dequantize = (_, i) => rowIntegers[i] * scales[Math.floor(i / width)]
      entries.push([name, width === undefined ? scales : new Matrix(rows, width).map(dequantize)])
      await pause()
    }
    return entries
  }

  function splitModels(entries) {
    const prefix = "mask_decoder."
    const [model, maskDecoder] = [{}, {}]
    for (const [name, tensor] of entries) {
      if (name.startsWith(prefix)) maskDecoder[name.slice(prefix.length)] = tensor
      else model[name] = tensor
    }
    model["language_model.lm_head.weight"] ??= model["language_model.model.embed_tokens.weight"] // tied
    return { model, maskDecoder }
  }

  return { read }
})
