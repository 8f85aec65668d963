// Puts together what the hooks kept to tensors { data, shape } over all T positions: answer.record (engine.js).
VLM.part("recording", () => {
  const { Matrix } = VLM.tensor

  // What the hooks keep for a name of answer.record, where that is not the name itself.
  const SOURCES = { positions: "position_ids", logit_lens: "hidden_states" }

  // recorded[layer] is a list with one value for each pass. Without a cache each pass has all positions again.
  const MAKERS = {
    attention: (recorded) => recorded.map(stackHeads),
    hidden_states: (recorded, cache) => recorded.map((passes) => toTensor(stackRows(passes, cache))),
    gates: (recorded, cache) => recorded.map((passes) => toTensor(stackRows(passes, cache))),
    proposals: (recorded, cache) => recorded.map((passes) => toTensor(stackRows(passes, cache))),
    logit_lens: (recorded, cache, lens) => recorded.map((passes) => lens(stackRows(passes, cache))),
    logits: ([passes]) => toTensor(stackRows(passes, true)),
    mask: ([passes]) => toTensor(stackSquares(passes, -1).map((value) => (value === 0 ? 1 : 0))),
    positions: ([passes], cache) => toVector(cache ? passes.flat() : passes.at(-1)),
    pixel_values: ([[pixels]]) => ({ data: pixels.data, shape: [3, ...Array(2).fill(Math.sqrt(pixels.width / 3))] }),
    image_attention: (recorded) => recorded.map(stackHeads),
    image_hidden_states: (recorded) => recorded.map(([states]) => toTensor(states)),
    image_features: ([[features]]) => toTensor(features),
  }

  // names of answer.record -> names of hooks
  function namesForHooks(names) {
    const unknown = names.find((name) => !(name in MAKERS))
    if (unknown) throw new Error(`"${unknown}" cannot be recorded. What can: ${Object.keys(MAKERS).join(", ")}.`)
    return names.map((name) => SOURCES[name] ?? name)
  }

  // recorded: of the hooks; lens: [T, D] -> what a layer would predict
  function makeRecord(names, recorded, cache, lens) {
    return Object.fromEntries(names.map((name) => [name, MAKERS[name](recorded[SOURCES[name] ?? name], cache, lens)]))
  }

  function toTensor(matrix) {
    return { data: matrix.data, shape: [matrix.rows, matrix.width] }
  }

  function toVector(numbers) {
    return { data: Float32Array.from(numbers), shape: [numbers.length] }
  }

  // The passes' rows one below the other, or the last pass if it has all rows.
  function stackRows(passes, cache) {
    if (!cache) return passes.at(-1)
    const rows = passes.reduce((sum, pass) => sum + pass.rows, 0)
    const result = new Matrix(rows, passes[0].width)
    let next = 0
    for (const { data } of passes) {
      result.data.set(data, next)
      next += data.length
    }
    return result
  }

  // Matrices [S, T so far], each the last S rows of [T so far, T so far] -> [T, T]; what no pass had is `fill`.
  function stackSquares(passes, fill = 0) {
    const side = passes.at(-1).width
    const result = new Matrix(side, side)
    result.data.fill(fill)
    for (const pass of passes) {
      for (let i = 0; i < pass.rows; i++) result.row(pass.width - pass.rows + i).set(pass.row(i))
    }
    return result
  }

  // Passes with A x [S, T so far] each -> [A, T, T]
  function stackHeads(passes) {
    const heads = passes[0].map((_, head) => stackSquares(passes.map((pass) => pass[head])))
    const side = heads[0].rows
    const data = new Float32Array(heads.length * side * side)
    heads.forEach((matrix, head) => data.set(matrix.data, head * side * side))
    return { data, shape: [heads.length, side, side] }
  }

  // Two records of one answer -> [{ name, error }], modules in order; the first `padding` positions do not count.
  function compareRecords(right, wrong, padding) {
    const layers = (kind, first, rest, skip = 0) =>
      right[kind].map((tensor, i) => ({
        name: i ? `${rest}.${i - 1}` : first,
        error: relativeError(tensor, wrong[kind][i], skip),
      }))
    return [
      ...layers("image_hidden_states", "vision_tower.embeddings", "vision_tower.layers"),
      { name: "multi_modal_projector", error: relativeError(right.image_features, wrong.image_features) },
      ...layers("hidden_states", "language_model.embed", "language_model.layers", padding),
      { name: "language_model.lm_head", error: relativeError(right.logits, wrong.logits) },
    ]
  }

  // |difference| / |right|, Euclidean norms, without the first rows.
  function relativeError(right, wrong, skip = 0) {
    let [difference, norm] = [0, 0]
    for (let i = skip * right.shape[1]; i < right.data.length; i++) {
      difference += (right.data[i] - wrong.data[i]) ** 2
      norm += right.data[i] ** 2
    }
    return Math.sqrt(difference / norm)
  }

  return { namesForHooks, makeRecord, compareRecords }
})
