// Reads the weights file that live/export.py writes. Its docstring says what is in it.
VLM.part("weights", () => {
  const { Matrix } = VLM.tensor

  // ArrayBuffer of the file -> { config, tokenizer, model, maskDecoder }, the last two { name: Matrix or Float32Array }
  async function read(packed) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))
    const bytes = await new Response(stream).arrayBuffer()
    const headerEnd = 4 + new DataView(bytes).getUint32(0, true)
    const { tensors, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, headerEnd - 4)))
    const floatCount = tensors.reduce((sum, [, rows]) => sum + rows, 0)
    const floats = new Float32Array(bytes.slice(headerEnd, headerEnd + 4 * floatCount))
    const integers = new Int8Array(bytes, headerEnd + 4 * floatCount)
    return { ...header, ...splitModels(readTensors(tensors, floats, integers)) }
  }

  // tensors: [name, length of the vector] or [name, rows, width], in the order of the file.
  function readTensors(tensors, floats, integers) {
    let [atFloat, atInteger] = [0, 0]
    return tensors.map(([name, rows, width]) => {
      const rowFloats = floats.subarray(atFloat, (atFloat += rows))
      if (width === undefined) return [name, rowFloats]
      const rowIntegers = integers.subarray(atInteger, (atInteger += rows * width))
      const scales = rowFloats
      return [name, new Matrix(rows, width).map((_, i) => rowIntegers[i] * scales[Math.floor(i / width)])]
    })
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
