// Answers requests with the model; engine.js says what requests and answers contain.
VLM.part("answers", () => {
  const { counted } = VLM.tensor
  const { Hooks } = VLM.hooks
  const { PaliGemmaForConditionalGeneration } = VLM.model
  const { BUGS, plant } = VLM.bugs
  const { Tokenizer } = VLM.tokenizer
  const { processImage, encodePrefix } = VLM.processor
  const { parseDetections, MaskDecoder, pasteMask } = VLM.regions
  const { generateTokens, rank } = VLM.generate
  const { makeEdits } = VLM.edits
  const { namesForHooks, makeRecord, compareRecords } = VLM.recording
  const { roundWeights, countWeights } = VLM.rounding

  const DEFAULTS = {
    ...{ maxNewTokens: 100, temperature: 0, topP: 1, seed: 0 },
    ...{ cache: true, padding: 0, bugs: [], edits: {}, record: [] },
    rounding: null, // or { bits, perMatrix }
    forced: null, // the ids of an answer that is read, not chosen
  }
  const COMPARED = ["image_hidden_states", "image_features", "hidden_states", "logits"]

  class Answers {
    // weights: what VLM.weights.read gives
    constructor({ config, tokenizer, model, maskDecoder }) {
      this.config = config
      this.size = config.vision_config.image_size
      this.tensors = model
      this.tokenizer = new Tokenizer(tokenizer)
      this.maskDecoder = new MaskDecoder()
      this.maskDecoder.loadStateDict(maskDecoder)
      this.ends = [config.eos_token_id].flat() // one id or several
      this.lastImage = null // { pixels, features }
    }

    describe() {
      const bugs = Object.entries(BUGS).map(([name, { label, says }]) => ({ name, label, says }))
      return { config: this.config, bugs, weights: countWeights(this.tensors) }
    }

    // pause: called often, see model.js; onToken: gets each token as it is chosen
    async ask(request, pause, onToken = () => {}) {
      const options = { ...DEFAULTS, ...request }
      checkOptions(options)
      const promptIds = encodePrefix(options.prompt, this.tokenizer, this.config, options.padding)
      checkLength(promptIds.length, options.maxNewTokens, this.config)
      const hooks = new Hooks(namesForHooks(options.record), makeEdits(options.edits, this.config))
      const model = new PaliGemmaForConditionalGeneration(this.config, hooks, { ...plant(options.bugs), pause })
      model.loadStateDict(options.rounding ? roundWeights(this.tensors, options.rounding) : this.tensors)
      await pause()

      const meter = new Meter()
      const imageFeatures = await this.readImage(model, options, pause)
      meter.end("image")
      const [ids, tokens] = [[], []]
      for await (const { id, logits } of generateTokens(model, promptIds, imageFeatures, options)) {
        const multiplications = meter.end(ids.length ? "tokens" : "prompt")
        const shown = this.decode(ids)
        ids.push(id)
        const position = promptIds.length - 2 + ids.length
        const { probability, others } = rank(logits, id)
        tokens.push({
          ...{ id, probability, position, isEnd: this.ends.includes(id), multiplications },
          text: this.decode(ids).slice(shown.length),
          runnersUp: this.name(others),
        })
        onToken(tokens.at(-1))
      }
      meter.end("tokens")

      const text = this.tokenizer.decode(ids)
      const lens = (states) => this.readLens(model, states.slice(promptIds.length - 1, states.rows))
      return {
        tokens,
        text,
        detections: await this.detect(text, pause),
        prompt: { ids: promptIds, texts: promptIds.map((id) => this.tokenizer.show(id)), length: promptIds.length },
        numPatches: imageFeatures.rows,
        seconds: meter.seconds,
        multiplications: meter.multiplications,
        record: makeRecord(options.record, hooks.recorded, options.cache, lens),
      }
    }

    // The model reads `suffix` as if it had chosen its tokens.
    async score(request, pause, onToken) {
      const forced = [...this.tokenizer.encode(request.suffix), this.ends[0]]
      return this.ask({ ...request, forced, maxNewTokens: forced.length }, pause, onToken)
    }

    // The right model answers, the changed one too; then it reads the right answer, and every layer is compared.
    async compare(request, pause) {
      const right = await this.ask({ ...request, bugs: [], edits: {}, rounding: null, record: COMPARED }, pause)
      const wrong = await this.ask({ ...request, record: [] }, pause)
      const forced = right.tokens.map(({ id }) => id)
      const reading = await this.ask({ ...request, forced, maxNewTokens: forced.length, record: COMPARED }, pause)
      const errors = compareRecords(right.record, reading.record, request.padding ?? 0)
      return { right: { ...right, record: {} }, wrong, errors }
    }

    async tokenize(text) {
      return this.tokenizer.encode(text).map((id) => ({ id, text: this.tokenizer.tokens[id] }))
    }

    // The pieces of a text after each merge, [{ id, text }] each
    async mergeSteps(text) {
      const named = (piece) => ({ id: this.tokenizer.ids.get(piece), text: piece })
      return this.tokenizer.mergeSteps(text).map((pieces) => pieces.map(named))
    }

    // The tower runs again only for another image, or if its internals are to be recorded.
    async readImage(model, { pixels, record, rounding }, pause) {
      const values = processImage(pixels, this.size)
      await pause()
      const seen = model.hooks.edit.pixel_values?.(values) ?? values
      const isRecorded = record.some((name) => name.startsWith("image_") || name === "pixel_values")
      const isLast = this.lastImage && seen.data.every((value, i) => value === this.lastImage.pixels.data[i])
      if (isLast && !isRecorded && !rounding) return this.lastImage.features
      const features = await model.getImageFeatures(values)
      this.lastImage = rounding ? null : { pixels: seen, features } // other weights have other features
      return features
    }

    // The text so far; the first bytes of a character wait for its others.
    decode(ids) {
      return this.tokenizer.decode(ids).replace(/\ufffd+$/, "")
    }

    // [{ id, probability }] with the tokens' texts
    name(ranked) {
      return ranked.map(({ id, probability }) => ({ id, text: this.tokenizer.show(id), probability }))
    }

    // What the model would predict if a layer were its last: the norm, then the head (vlm/inside/logit_lens.py).
    readLens(model, hiddenStates) {
      const { model: gemma, lm_head: head } = model.language_model
      const logits = head.forward(gemma.norm.forward(hiddenStates))
      return Array.from({ length: logits.rows }, (_, i) => this.name(rank(logits.row(i), null, 5).others))
    }

    async detect(text, pause) {
      const detections = parseDetections(text, this.size, this.size)
      for (const detection of detections) {
        const { maskCodes, box } = detection
        detection.mask = maskCodes && pasteMask(this.maskDecoder.forward(maskCodes), box, this.size, this.size)
        await pause()
      }
      return detections
    }
  }

  // Seconds and multiplications of the parts of an answer. `end` adds what came since the last call to a part, and
  // returns the multiplications.
  class Meter {
    seconds = { image: 0, prompt: 0, tokens: 0 }
    multiplications = { image: 0, prompt: 0, tokens: 0 }
    started = performance.now()
    counted = counted.multiplications

    end(part) {
      const now = performance.now()
      this.seconds[part] += (now - this.started) / 1000
      const multiplications = counted.multiplications - this.counted
      this.multiplications[part] += multiplications
      this.started = now
      this.counted = counted.multiplications
      return multiplications
    }
  }

  function checkOptions({ prompt, pixels, maxNewTokens, temperature, topP }) {
    if (!prompt?.trim()) throw new Error('The prompt is empty. Type one, such as "caption en" or "detect cat".')
    if (![3, 4].includes(pixels.data.length / (pixels.width * pixels.height))) {
      throw new Error("The image needs 3 or 4 bytes for each of its pixels: give what a canvas's getImageData returns.")
    }
    if (!(maxNewTokens >= 1)) throw new Error(`maxNewTokens is ${maxNewTokens}. Take 1 or more.`)
    if (!(temperature >= 0)) throw new Error(`The temperature is ${temperature}. Take 0 or more.`)
    if (!(topP > 0 && topP <= 1)) throw new Error(`Top-p is ${topP}. Take more than 0, and 1 at most.`)
  }

  function checkLength(promptLength, maxNewTokens, config) {
    const longest = config.text_config.max_position_embeddings
    if (promptLength + maxNewTokens <= longest) return
    throw new Error(
      `The prompt has ${promptLength} tokens with its image, and ${maxNewTokens} more may follow. The model was made ` +
        `for ${longest} together: shorten the prompt.`,
    )
  }

  return { Answers }
})
