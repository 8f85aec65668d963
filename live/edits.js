// A request's `edits`, as what the model's hooks change while it runs.
VLM.part("edits", () => {
  const { range } = VLM.tensor

  // edits: { knockOut, shutGates, coverPatches, allPositionsOne }, see engine.js
  // -> { name of the hook: (value, layer) => value }
  function makeEdits({ knockOut = [], shutGates = [], coverPatches = [], allPositionsOne = false }, config) {
    const edits = {}
    if (knockOut.length) edits.attention = knockOutHeads(knockOut, config.text_config)
    if (shutGates.length) edits.proposals = shut(shutGates, config.text_config)
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

  // What a gate lets through is a product with the proposal: a proposal of 0 shuts it.
  function shut(pairs, { num_hidden_layers: numLayers, intermediate_size: numGates }) {
    const lost = pairs.find(([layer, gate]) => !range(numLayers).includes(layer) || !range(numGates).includes(gate))
    if (lost) throw new Error(`There is no gate ${lost[1]} in a layer ${lost[0]}: count from 0 as everywhere.`)
    return (proposals, layer) => {
      const shut = new Set(pairs.filter((pair) => pair[0] === layer).map(([, gate]) => gate))
      return proposals.map((value, i) => (shut.has(i % numGates) ? 0 : value))
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
