// A request's `edits`, as what the model's hooks change while it runs.
VLM.part("edits", () => {
  const { range } = VLM.tensor

  // edits: { knockOut, coverPatches, allPositionsOne }, see engine.js -> { name of the hook: (value, layer) => value }
  function makeEdits({ knockOut = [], coverPatches = [], allPositionsOne = false }, config) {
    const edits = {}
    if (knockOut.length) edits.attention = knockOutHeads(knockOut, config.text_config)
    if (coverPatches.length) edits.pixel_values = grayPatches(coverPatches, config.vision_config)
    if (allPositionsOne) edits.position_ids = (positionIds) => positionIds.map(() => 1)
    return edits
  }

  function knockOutHeads(pairs, { num_hidden_layers: numLayers, num_attention_heads: numHeads }) {
    const lost = pairs.find(([layer, head]) => !range(numLayers).includes(layer) || !range(numHeads).includes(head))
    if (lost) throw new Error(`There is no head ${lost[1]} in a layer ${lost[0]}: count from 0 as everywhere.`)
    return (weights, layer) => {
      const isOut = (head) => pairs.some((pair) => pair[0] === layer && pair[1] === head)
      return weights.map((matrix, head) => (isOut(head) ? matrix.map(() => 0) : matrix))
    }
  }

  // 0 is the middle of -1..1: gray.
  function grayPatches(indices, { image_size: size, patch_size: patch }) {
    const covered = new Set(indices)
    return (pixels) =>
      pixels.map((value, i) => {
        const [y, x] = [Math.floor(i / size) % size, i % size]
        return covered.has(Math.floor(y / patch) * (size / patch) + Math.floor(x / patch)) ? 0 : value
      })
  }

  return { makeEdits }
})
