// Turns logits into text, one token after another, as in vlm/generate.py.
VLM.part("generate", () => {
  const { Matrix, softmax } = VLM.tensor
  const { KVCache } = VLM.model

  const NUM_RUNNERS_UP = 4

  // Keeps the most likely tokens that together reach topP; their probabilities sum to 1 again, all others are 0.
  function filterTopP(probabilities, topP) {
    const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a])
    const kept = new Float32Array(probabilities.length)
    let massBefore = 0
    for (const id of order) {
      if (massBefore >= topP) break
      kept[id] = probabilities[id]
      massBefore += probabilities[id]
    }
    return kept.map((probability) => probability / massBefore)
  }

  // Logits, V numbers -> a token id: the most likely at temperature 0, else sampled. random gives numbers of 0..1.
  function chooseToken(logits, temperature, topP, random) {
    if (temperature === 0) return argmax(logits)
    const scaled = new Matrix(1, logits.length, logits.map((logit) => logit / temperature))
    const probabilities = filterTopP(softmax(scaled).data, topP)
    let left = random()
    for (const [id, probability] of probabilities.entries()) {
      left -= probability
      if (left < 0) return id
    }
    return argmax(probabilities) // rounding left a little of 1
  }

  function argmax(values) {
    return values.reduce((best, value, i) => (value > values[best] ? i : best), 0)
  }

  // Yields { id, logits } until <eos>, or until there are maxNewTokens.
  // options: maxNewTokens, temperature, topP, seed; cache: false recomputes everything for each token; forced: the ids
  // to take, one for each step, or null to choose them.
  async function* generateTokens(model, promptIds, imageFeatures, options) {
    const { maxNewTokens, temperature, topP, seed, cache, forced } = options
    const { config } = model
    const random = randomNumbers(seed)
    const kvCache = cache ? new KVCache(config.text_config, promptIds.length + maxNewTokens) : null
    const isReal = promptIds.map((id) => (id === config.pad_token_id ? 0 : 1))
    let [inputIds, tokenTypeIds, image] = [promptIds, promptIds.map(() => 0), imageFeatures]
    for (let step = 0; step < maxNewTokens; step++) {
      const logits = (await model.forward(inputIds, isReal, tokenTypeIds, kvCache, 1, image)).data // V
      const id = forced ? forced[step] : chooseToken(logits, temperature, topP, random)
      yield { id, logits }
      if ([config.eos_token_id].flat().includes(id)) return
      isReal.push(1)
      if (cache) [inputIds, tokenTypeIds, image] = [[id], [1], null] // the image is in the cache from now on
      else [inputIds, tokenTypeIds] = [[...inputIds, id], [...tokenTypeIds, 1]]
    }
  }

  // The probability of a token and the most likely others: { probability, others: [{ id, probability }] }.
  function rank(logits, id, count = NUM_RUNNERS_UP) {
    const probabilities = softmax(new Matrix(1, logits.length, logits)).data
    const best = [] // the most likely first
    probabilities.forEach((probability, other) => {
      if (other === id || (best.length === count && probability <= best[count - 1].probability)) return
      const place = best.findIndex((one) => probability > one.probability)
      best.splice(place < 0 ? best.length : place, 0, { id: other, probability })
      best.length = Math.min(best.length, count)
    })
    return { probability: probabilities[id], others: best }
  }

  // The same numbers of 0..1 for the same seed (mulberry32, public domain, by Tommy Ettinger).
  function randomNumbers(seed) {
    let state = seed
    return () => {
      state = (state + 0x6d2b79f5) | 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    }
  }

  return { filterTopP, chooseToken, generateTokens, rank, randomNumbers }
})
