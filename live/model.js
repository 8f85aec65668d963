// PaliGemma in JavaScript, to be held beside vlm/: the same classes, functions and parameters, in the same order. It
// reads one image and one prompt, so no tensor has a batch axis. A tensor is a Matrix (tensor.js), and "A x [S, E]" a
// list of A of them. Shapes: C channels, H W image height and width, P patch size, N image tokens (patches), S new
// tokens, T all tokens so far, D hidden size, F MLP width, A heads, K key/value heads, E head_dim, V vocabulary.
VLM.part("model", () => {
  const { Matrix, matmul, matmulTransposed, splitHeads, joinHeads, cutPatches, cumsum, range } = VLM.tensor
  const { add, multiply, scale, softmax, geluTanh, Module, Linear, Embedding, LayerNorm } = VLM.tensor
  const LOWEST = -3.4028234663852886e38 // of float32

  // Pieces that can be replaced, as bugs.js does. `pause` runs between layers, so that a page can draw.
  const OPTIONS = {
    activation: geluTanh,
    normFactor: (weight) => 1 + weight,
    embedScale: (hiddenSize) => Math.fround(Math.sqrt(hiddenSize)),
    ...{ rotateHalf, repeatKv, makePrefixLmMask, makePositionIds, mergeImageFeatures },
    pause: async () => {},
  }

  // ---- vlm/attention.py ----
  // query: A x [Q, E]; key, value: A x [S, E]; mask: [Q, S] or null, added to the scores.
  // tap sees the weights, A x [Q, S], before they are used, and may replace them (hooks.js).
  function attention(query, key, value, scaling, mask, tap) {
    const scores = query.map((states, head) => scale(matmulTransposed(states, key[head]), scaling)) // A x [Q, S]
    const weights = tap(scores.map((states) => softmax(mask ? add(states, mask) : states))) // A x [Q, S]
    return [weights.map((states, head) => matmul(states, value[head])), weights] // A x [Q, E], A x [Q, S]
  }

  // ---- vlm/siglip.py ----
  class SiglipVisionEmbeddings extends Module {
    patch_embedding = new Linear()
    position_embedding = new Embedding()

    // [C, H, W] -> [N, D]. A convolution that moves by the size of its kernel is a linear layer over each patch.
    forward(pixelValues) {
      const positions = this.position_embedding.weight // [N, D]
      return add(this.patch_embedding.forward(cutPatches(pixelValues, positions.rows)), positions)
    }
  }

  class SiglipAttention extends Module {
    q_proj = new Linear()
    k_proj = new Linear()
    v_proj = new Linear()
    out_proj = new Linear()

    constructor(config, layerIdx, hooks) {
      const headDim = config.hidden_size / config.num_attention_heads
      super({ headDim, scaling: headDim ** -0.5, tap: (weights) => hooks.tap("image_attention", weights, layerIdx) })
    }

    // [N, D] -> [[N, D], attention weights A x [N, N]]
    forward(hiddenStates) {
      const query = splitHeads(this.q_proj.forward(hiddenStates), this.headDim) // A x [N, E]
      const key = splitHeads(this.k_proj.forward(hiddenStates), this.headDim)
      const value = splitHeads(this.v_proj.forward(hiddenStates), this.headDim)
      const [mixed, weights] = attention(query, key, value, this.scaling, null, this.tap) // A x [N, E], A x [N, N]
      return [this.out_proj.forward(joinHeads(mixed)), weights]
    }
  }

  class SiglipMLP extends Module {
    fc1 = new Linear()
    fc2 = new Linear()

    forward(hiddenStates) {
      return this.fc2.forward(this.fc1.forward(hiddenStates).map(geluTanh)) // [N, F], then [N, D]
    }
  }

  class SiglipEncoderLayer extends Module {
    mlp = new SiglipMLP()

    constructor(config, layerIdx, hooks) {
      super()
      this.layer_norm1 = new LayerNorm({ eps: config.layer_norm_eps })
      this.self_attn = new SiglipAttention(config, layerIdx, hooks)
      this.layer_norm2 = new LayerNorm({ eps: config.layer_norm_eps })
    }

    // [N, D] -> [N, D]
    forward(hiddenStates) {
      hiddenStates = add(hiddenStates, this.self_attn.forward(this.layer_norm1.forward(hiddenStates))[0])
      return add(hiddenStates, this.mlp.forward(this.layer_norm2.forward(hiddenStates)))
    }
  }

  class SiglipEncoder extends Module {
    constructor(config, hooks, options) {
      super({ hooks, options })
      this.layers = range(config.num_hidden_layers).map((i) => new SiglipEncoderLayer(config, i, hooks))
    }

    async forward(hiddenStates) {
      for (const [layerIdx, layer] of this.layers.entries()) {
        await this.options.pause()
        hiddenStates = layer.forward(this.hooks.tap("image_hidden_states", hiddenStates, layerIdx))
      }
      return this.hooks.tap("image_hidden_states", hiddenStates, this.layers.length)
    }
  }

  class SiglipVisionTransformer extends Module {
    constructor(config, hooks, options) {
      super()
      this.embeddings = new SiglipVisionEmbeddings()
      this.encoder = new SiglipEncoder(config, hooks, options)
      this.post_layernorm = new LayerNorm({ eps: config.layer_norm_eps })
    }

    async forward(pixelValues) {
      return this.post_layernorm.forward(await this.encoder.forward(this.embeddings.forward(pixelValues)))
    }
  }

  class SiglipVisionModel extends Module {
    constructor(config, hooks, options) {
      super({ vision_model: new SiglipVisionTransformer(config, hooks, options) })
    }

    // [C, H, W] in -1..1 -> [N, D]
    async forward(pixelValues) {
      return this.vision_model.forward(pixelValues)
    }
  }

  // ---- vlm/gemma.py ----
  class GemmaRMSNorm extends Module {
    weight = null // [D]

    // [S, D] -> [S, D]: each row divided by its root mean square, each entry times 1 + weight
    forward(hiddenStates) {
      const factors = this.weight.map(this.options.normFactor) // [D]
      return hiddenStates.mapRows((row) => {
        const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / row.length
        return row.map((value, i) => (value / Math.sqrt(meanSquare + this.eps)) * factors[i])
      })
    }
  }

  class GemmaMLP extends Module {
    gate_proj = new Linear(false)
    up_proj = new Linear(false)
    down_proj = new Linear(false)

    forward(hiddenStates) {
      const gate = this.tap("gates", this.gate_proj.forward(hiddenStates)).map(this.options.activation) // [S, F]
      return this.down_proj.forward(multiply(gate, this.tap("proposals", this.up_proj.forward(hiddenStates)))) // [S, D]
    }
  }

  // S positions -> cosine and sine of each pair's angle, [S, E] each. Math.fround: in Python the angles are float32.
  function rotaryCosSin(positionIds, headDim, theta) {
    const angles = new Matrix(positionIds.length, headDim).map((_, i) => {
      const pair = i % (headDim / 2) // the second half repeats the first
      return positionIds[Math.floor(i / headDim)] * Math.fround(theta ** -Math.fround((2 * pair) / headDim))
    })
    return [angles.map(Math.cos), angles.map(Math.sin)]
  }

  // (first half, second half) -> (-second half, first half)
  function rotateHalf(states) {
    const half = states.width / 2
    return states.map((_, i) => (i % states.width < half ? -states.data[i + half] : states.data[i - half]))
  }

  // Queries or keys, a list of [S, E]
  function applyRotaryPosEmb(states, cos, sin, rotateHalf) {
    return states.map((head) => add(multiply(head, cos), multiply(rotateHalf(head), sin)))
  }

  // K x [T, E] -> K * numGroups x [T, E]: with 2 groups, query heads 0 and 1 share the first
  function repeatKv(states, numGroups) {
    return states.flatMap((head) => Array(numGroups).fill(head))
  }

  class GemmaAttention extends Module {
    q_proj = new Linear(false)
    k_proj = new Linear(false)
    v_proj = new Linear(false)
    o_proj = new Linear(false)

    constructor(config, layerIdx, hooks, options) {
      super({ layerIdx, options, headDim: config.head_dim, scaling: config.head_dim ** -0.5 })
      this.numGroups = config.num_attention_heads / config.num_key_value_heads
      this.tap = (weights) => hooks.tap("attention", weights, layerIdx)
    }

    // [S, D] -> [[S, D], attention weights A x [S, T]]
    forward(hiddenStates, cos, sin, mask, kvCache = null) {
      const repeatKv = (states) => this.options.repeatKv(states, this.numGroups)
      const rotate = (states) => applyRotaryPosEmb(states, cos, sin, this.options.rotateHalf)
      const query = rotate(splitHeads(this.q_proj.forward(hiddenStates), this.headDim)) // A x [S, E]
      let key = rotate(splitHeads(this.k_proj.forward(hiddenStates), this.headDim)) // K x [S, E]
      let value = splitHeads(this.v_proj.forward(hiddenStates), this.headDim) // K x [S, E]
      if (kvCache) [key, value] = kvCache.update(this.layerIdx, key, value) // K x [T, E]
      const [mixed, weights] = attention(query, repeatKv(key), repeatKv(value), this.scaling, mask, this.tap)
      return [this.o_proj.forward(joinHeads(mixed)), weights]
    }
  }

  class GemmaDecoderLayer extends Module {
    constructor(config, layerIdx, hooks, options) {
      super({ mlp: new GemmaMLP({ options, tap: (name, value) => hooks.tap(name, value, layerIdx) }) })
      this.input_layernorm = new GemmaRMSNorm({ eps: config.rms_norm_eps, options })
      this.self_attn = new GemmaAttention(config, layerIdx, hooks, options)
      this.post_attention_layernorm = new GemmaRMSNorm({ eps: config.rms_norm_eps, options })
    }

    // [S, D] -> [S, D]
    forward(hiddenStates, cos, sin, mask, kvCache = null) {
      const normed = this.input_layernorm.forward(hiddenStates)
      hiddenStates = add(hiddenStates, this.self_attn.forward(normed, cos, sin, mask, kvCache)[0])
      return add(hiddenStates, this.mlp.forward(this.post_attention_layernorm.forward(hiddenStates)))
    }
  }

  class GemmaModel extends Module {
    embed_tokens = new Embedding()

    constructor(config, hooks, options) {
      super({ config, hooks, options })
      this.layers = range(config.num_hidden_layers).map((i) => new GemmaDecoderLayer(config, i, hooks, options))
      this.norm = new GemmaRMSNorm({ eps: config.rms_norm_eps, options })
    }

    // S ids -> [S, D]
    embed(inputIds) {
      return scale(this.embed_tokens.forward(inputIds), this.options.embedScale(this.config.hidden_size))
    }

    // inputsEmbeds: [S, D]; positionIds: S numbers; mask: [S, T]
    async forward(inputsEmbeds, positionIds, mask, kvCache = null) {
      let hiddenStates = inputsEmbeds
      const [cos, sin] = rotaryCosSin(positionIds, this.config.head_dim, this.config.rope_theta) // [S, E]
      for (const [layerIdx, layer] of this.layers.entries()) {
        hiddenStates = layer.forward(this.hooks.tap("hidden_states", hiddenStates, layerIdx), cos, sin, mask, kvCache)
        await this.options.pause()
      }
      kvCache?.advance(hiddenStates.rows)
      return this.norm.forward(this.hooks.tap("hidden_states", hiddenStates, this.layers.length))
    }
  }

  class GemmaForCausalLM extends Module {
    lm_head = new Linear(false) // its weight is that of embed_tokens

    constructor(config, hooks, options) {
      super({ model: new GemmaModel(config, hooks, options) })
    }

    // Logits [S, V], or of the last `logitsToKeep` positions alone
    async forward(inputsEmbeds, positionIds, mask, kvCache = null, logitsToKeep = 0) {
      const hiddenStates = await this.model.forward(inputsEmbeds, positionIds, mask, kvCache) // [S, D]
      return this.lm_head.forward(logitsToKeep ? hiddenStates.slice(-logitsToKeep) : hiddenStates)
    }
  }

  // ---- vlm/attention_mask.py ----
  // attentionMask: T times 0 or 1; tokenTypeIds: S times 0 (prefix) or 1 (suffix) -> [S, T], 0 where a query may attend
  function makePrefixLmMask(attentionMask, tokenTypeIds) {
    const queryBlocks = cumsum(tokenTypeIds) // S
    const numCached = attentionMask.length - tokenTypeIds.length
    const keyBlocks = [...Array(numCached).fill(0), ...queryBlocks] // T: all queries attend to the cache
    const isVisible = (query, key) => keyBlocks[key] <= queryBlocks[query] && attentionMask[key]
    const mask = new Matrix(tokenTypeIds.length, attentionMask.length)
    return mask.mapRows((row, query) => row.map((_, key) => (isVisible(query, key) ? 0 : LOWEST)))
  }

  // The real tokens are counted from 1, and padding gets 1 -> the last S of T
  function makePositionIds(attentionMask, numNew) {
    const counts = cumsum(attentionMask).slice(-numNew) // S
    return counts.map((count) => Math.max(count, 1))
  }

  // ---- vlm/kv_cache.py ----
  class KVCache {
    constructor(config, maxLength) {
      const makeHeads = () => range(config.num_key_value_heads).map(() => new Matrix(maxLength, config.head_dim))
      this.keys = range(config.num_hidden_layers).map(makeHeads) // for each layer K x [maxLength, E]
      this.values = range(config.num_hidden_layers).map(makeHeads)
      this.length = 0
    }

    // K x [S, E] of one layer go after the old ones -> all of them so far, K x [T, E], views
    update(layerIdx, key, value) {
      const end = this.length + key[0].rows
      key.forEach((states, head) => this.keys[layerIdx][head].slice(this.length, end).data.set(states.data))
      value.forEach((states, head) => this.values[layerIdx][head].slice(this.length, end).data.set(states.data))
      return [this.keys, this.values].map((all) => all[layerIdx].map((head) => head.slice(0, end)))
    }

    advance(numNew) {
      this.length += numNew
    }
  }

  // ---- vlm/paligemma.py ----
  class PaliGemmaMultiModalProjector extends Module {
    linear = new Linear()

    forward(imageFeatures) {
      return this.linear.forward(imageFeatures) // [N, D]
    }
  }

  class PaliGemmaForConditionalGeneration extends Module {
    multi_modal_projector = new PaliGemmaMultiModalProjector()

    constructor(config, hooks, options = {}) {
      super({ config, hooks, options: { ...OPTIONS, ...options } })
      this.vision_tower = new SiglipVisionModel(config.vision_config, hooks, this.options)
      this.language_model = new GemmaForCausalLM(config.text_config, hooks, this.options)
    }

    // [C, H, W] -> [N, D]
    async getImageFeatures(pixelValues) {
      const features = await this.vision_tower.forward(this.hooks.tap("pixel_values", pixelValues))
      return this.hooks.tap("image_features", this.multi_modal_projector.forward(features))
    }

    // S ids and [N, D], or null once the image is in the cache -> [S, D]
    embedInputs(inputIds, imageFeatures) {
      const inputsEmbeds = this.language_model.model.embed(inputIds) // [S, D]
      if (!imageFeatures) return inputsEmbeds
      const imageMask = inputIds.map((id) => id === this.config.image_token_index)
      return this.options.mergeImageFeatures(inputsEmbeds, imageFeatures, imageMask)
    }

    // inputIds: S; attentionMask: T; tokenTypeIds: S -> logits [S, V], or of the last positions alone
    async forward(inputIds, attentionMask, tokenTypeIds, kvCache = null, logitsToKeep = 0, imageFeatures = null) {
      const positionIds = this.hooks.tap("position_ids", this.options.makePositionIds(attentionMask, inputIds.length))
      const inputsEmbeds = this.embedInputs(inputIds, imageFeatures) // [S, D]
      const mask = this.hooks.tap("mask", this.options.makePrefixLmMask(attentionMask, tokenTypeIds)) // [S, T]
      const logits = await this.language_model.forward(inputsEmbeds, positionIds, mask, kvCache, logitsToKeep)
      return this.hooks.tap("logits", logits) // [S, V]
    }
  }

  // The rows of [N, D], in order, replace the image tokens in [S, D]
  function mergeImageFeatures(inputsEmbeds, imageFeatures, imageMask) {
    let next = 0
    return inputsEmbeds.mapRows((row, i) => (imageMask[i] ? imageFeatures.row(next++) : row))
  }

  return {
    ...{ LOWEST, attention, rotaryCosSin, rotateHalf, applyRotaryPosEmb, repeatKv, makePrefixLmMask, makePositionIds },
    ...{ mergeImageFeatures, KVCache, PaliGemmaForConditionalGeneration },
  }
})
