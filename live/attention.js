// What a token of an answer attended to: sums over the engine's record.
"use strict"

VLM.part("attention", () => {
  // How much attention each patch got when a token of the answer was chosen: the mean over the heads of a layer of the
  // language model, or over all layers. Needs answer.record.attention.
  //     index    of the token in answer.tokens
  //     layer    a number, or "all"
  // Float32Array [N]; its sum is what the whole image got, at most 1.
  function toImage(answer, index, layer) {
    const chosen = layer === "all" ? answer.record.attention : [answer.record.attention[layer]]
    const { position } = answer.tokens[index]
    const sums = new Float32Array(answer.numPatches)
    for (const { data, shape } of chosen) {
      const [heads, length] = shape // [heads, T, T]
      for (let head = 0; head < heads; head++) {
        const row = (head * length + position) * length
        for (let patch = 0; patch < sums.length; patch++) sums[patch] += data[row + patch] / (heads * chosen.length)
      }
    }
    return sums
  }

  return { toImage }
})
