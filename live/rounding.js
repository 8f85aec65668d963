// Weights of fewer bits: integers times a scale, as live/export.py and vlm/fast/linear.py make them.
VLM.part("rounding", () => {
  const { Matrix } = VLM.tensor

  // tensors: { name: Matrix or Float32Array }, of which vectors stay as they are
  // bits: 8 gives -127..127, 2 gives -1, 0 and 1; perMatrix: one scale for a whole matrix, not for each of its rows
  function roundWeights(tensors, { bits, perMatrix = false }) {
    const levels = 2 ** (bits - 1) - 1
    const rounded = new Map() // the head and the embedding share a matrix
    for (const tensor of Object.values(tensors)) {
      if (tensor instanceof Matrix && !rounded.has(tensor)) rounded.set(tensor, roundMatrix(tensor, levels, perMatrix))
    }
    return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, rounded.get(tensor) ?? tensor]))
  }

  function roundMatrix(matrix, levels, perMatrix) {
    const ofMatrix = largest(matrix.data) / levels
    return matrix.mapRows((row) => {
      const scale = (perMatrix ? ofMatrix : largest(row) / levels) || 1 // a row of zeros
      return row.map((value) => Math.round(value / scale) * scale)
    })
  }

  function largest(values) {
    return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  }

  // What a file of them would hold: numbers, rows and matrices, and numbers in vectors
  function countWeights(tensors) {
    const counts = { numbers: 0, rows: 0, matrices: 0, vectors: 0 }
    for (const tensor of new Set(Object.values(tensors))) {
      if (tensor instanceof Matrix) {
        counts.numbers += tensor.data.length
        counts.rows += tensor.rows
        counts.matrices++
      } else {
        counts.vectors += tensor.length
      }
    }
    return counts
  }

  return { roundWeights, countWeights }
})
