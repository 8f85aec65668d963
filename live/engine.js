// The live model for the figures of a page. It runs in a web worker where that is possible, and in short slices on the
// page's own thread where it is not.
//
//     const engine = await VLM.engine.load(onProgress)
//     const answer = await engine.ask({ pixels, prompt: "detect cat" }, onToken)
//
// VLM.engine.load(onProgress) -> Promise<engine>. All calls of a page share one engine; the weights are loaded once.
//     onProgress(fraction): 0..1, while the weights arrive. A call after a failed load tries again.
//
// engine.config               the checkpoint's config.json; engine.config.vision_config.image_size is S, 112
// engine.special              ids: { image, bos, eos, pad }
// engine.bugs                 [{ name, label, says }], what `bugs` below may contain, in the order of the book
// engine.inWorker             whether a worker runs it
// engine.weights              { numbers, rows, matrices, vectors }: of the matrices, and the numbers in vectors
//
// engine.ask(request, onToken) -> Promise<answer>. Requests are answered one after another.
//     request:
//       pixels         Uint8ClampedArray [S * S * 3] or [S * S * 4], or an ImageData, or { data, width, height } of any
//                      size, which is squeezed to S x S as the Python processor does. Transparent pixels become white.
//       prompt         such as "caption en", "detect cat ; dog", "segment cat"
//       maxNewTokens   100     at most this many tokens, <eos> included
//       temperature    0       0 takes the most likely token
//       topP           1
//       seed           0       of the sampling; the same seed gives the same answer
//       bugs           []      names from engine.bugs
//       edits          {}      knockOut: [[layer, head], ...]   the head's attention weights become 0 (language model)
//                              shutGates: [[layer, gate], ...]  the gate lets nothing through (language model)
//                              coverPatches: [index, ...]       these patches (reading order) become gray
//                              allPositionsOne: true            every token gets position 1
//       rounding       null    { bits, perMatrix }: weights of so few bits, see rounding.js
//       padding        0       so many <pad> tokens before the image, as the shorter rows of a batch have; without them
//                              the bug "padding-visible" changes nothing
//       cache          true    false recomputes the whole sequence for every token
//       record         []      what answer.record is to contain, see below
//       signal         an AbortSignal: the promise rejects with its reason, an AbortError
//     onToken(token) is called for each token as it is chosen, <eos> included.
//     token: { id, text, probability, runnersUp: [{ id, text, probability }, ...], position, multiplications, isEnd }
//       text           what the token adds to the answer, "" for <eos>
//       probability    by the model's own softmax (temperature 1)
//       runnersUp      the four most likely others
//       position       index of the position that predicted it: the one before the token's own
//       multiplications  of the pass that predicted it; that of the first token reads the prompt
//     answer:
//       tokens         all tokens, <eos> included if it came
//       text           the answer as a string
//       detections     [{ label, box: [yMin, xMin, yMax, xMax], maskCodes, mask }]; box in pixels of S x S, y first;
//                      mask is Uint8Array [S * S] of 0 and 1, or null
//       prompt         { ids, texts, length }: the sequence before the answer, padding and image tokens included
//       numPatches     N; the image tokens are at the positions padding .. padding + N - 1
//       seconds        { image, prompt, tokens }; image is about 0 if it is the image of the request before
//       multiplications { image, prompt, tokens }, all multiply-adds of the matrix products, counted
//       record         see below
//
// engine.score({ ...request, suffix }) -> Promise<answer>. The model reads `suffix` and <eos> as if it had chosen these
//       tokens: tokens[i].probability is that of the suffix's token i. All else as in ask.
//
// engine.compare(request) -> Promise<{ right, wrong, errors }>. The right model answers; the model with request.bugs
//       and request.edits answers too. errors: [{ name, error }] in the order in which the modules run, both models
//       reading the right answer: |difference| / |right|, Euclidean norms, over all real positions.
//
// engine.tokenize(text) -> Promise<[{ id, text }]>, without <bos> and image tokens.
// engine.mergeSteps(text) -> Promise<[[{ id, text }]]>, after each merge: first characters and bytes, at last the tokens.
//
// answer.record: of tensors { data: Float32Array, shape }. T = all tokens that were read, prompt and answer; row t of
//       an attention or hidden state belongs to position t. A token of the answer was predicted in row token.position.
//     "attention"            [layer] -> [heads, T, T], query by key; 0 where a query may not attend
//     "hidden_states"        [0] -> what enters layer 0; [i + 1] -> what layer i returns; [T, D]
//     "gates", "proposals"   [layer] -> [T, F], what gate_proj gives, before the activation, and what up_proj gives
//     "logits"               [tokens of the answer, V]
//     "mask"                 [T, T], 1 visible and 0 hidden
//     "positions"            [T]
//     "logit_lens"           [i][k] -> the five most likely { id, text, probability } for token k of the answer, read
//                            from hidden_states[i]
//     "pixel_values"         [3, S, S], -1..1
//     "image_attention"      [layer] -> [heads, N, N], of the vision tower
//     "image_hidden_states"  [0] -> what enters layer 0; [i + 1] -> what layer i returns; [N, width of the tower]
//     "image_features"       [N, D], as they enter the language model
//
// Errors reject the promise with an Error whose message says what to do. Show it as it is.
VLM.part("engine", () => {
  const WORKER_PARTS = [
    ...["tensor", "hooks", "model", "bugs", "tokenizer", "resample", "processor", "regions", "generate", "recording"],
    ...["edits", "rounding", "weights", "answers", "worker"],
  ]
  // The weights are beside this script, or already here, in a notebook's page (live/jupyter.py).
  const HERE = document.currentScript.src || document.baseURI
  // Of the weights (tools/book_site/live.py): in their address it keeps new code from old weights in a browser's cache.
  const { version = "" } = document.currentScript.dataset

  const listeners = new Set()
  let loading = null

  function load(onProgress = () => {}) {
    listeners.add(onProgress)
    loading ??= start()
    loading.catch(() => (loading = null))
    return loading.finally(() => listeners.delete(onProgress))
  }

  async function start() {
    const packed = await readWeights()
    const engine = new Engine(await makeThread())
    await engine.loadWeights(packed)
    return engine
  }

  // ---- the weights file ----

  async function readWeights() {
    if (!globalThis.DecompressionStream) throw new Error("The model needs a browser of 2023 or later: update yours.")
    try {
      return VLM.weightsData || location.protocol === "file:" ? await readScript() : await download()
    } catch (error) {
      throw new Error(`The model's weights did not arrive (${error.message}). Check the connection and try again.`)
    }
  }

  async function download() {
    const response = await fetch(new URL(`weights.bin?v=${version}`, HERE))
    if (!response.ok) throw new Error(`the server says ${response.status}`)
    const size = Number(response.headers.get("Content-Length")) || Infinity
    const chunks = []
    let received = 0
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read()
      if (done) return new Blob(chunks).arrayBuffer()
      chunks.push(value)
      received += value.length
      for (const listener of listeners) listener(Math.min(received / size, 1))
    }
  }

  // A page that was opened as a file may not fetch another file, but it may load a script.
  async function readScript() {
    if (!VLM.weightsData) await loadScript()
    for (const listener of listeners) listener(1)
    const response = await fetch(`data:application/octet-stream;base64,${VLM.weightsData}`)
    delete VLM.weightsData
    return response.arrayBuffer()
  }

  function loadScript() {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script")
      script.src = new URL(`weights_data.js?v=${version}`, HERE)
      script.onload = resolve
      script.onerror = () => reject(new Error("weights_data.js is not there"))
      document.head.append(script)
    })
  }

  // ---- the thread that computes: { post(message), onMessage, isWorker } ----

  function makeThread() {
    return startWorker().catch(useThisThread)
  }

  // Rejects if there is no worker, or if its script may not run.
  async function startWorker() {
    const source = `${VLM.source(WORKER_PARTS)}
      onmessage = ({ data }) => receive(data)
      const receive = VLM.worker.makeReceiver(postMessage)
      postMessage({ kind: "ready" })`
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
    const thread = { post: (message) => worker.postMessage(message), onMessage: () => {}, isWorker: true }
    await new Promise((resolve, reject) => {
      worker.onerror = reject
      thread.onMessage = resolve
      worker.onmessage = ({ data }) => thread.onMessage(data)
    })
    return thread
  }

  function useThisThread() {
    const thread = { onMessage: () => {}, isWorker: false }
    thread.post = VLM.worker.makeReceiver((message) => thread.onMessage(message))
    return thread
  }

  // ---- what a page talks to ----

  class Engine {
    constructor(thread) {
      this.thread = thread
      this.inWorker = thread.isWorker
      this.calls = new Map() // id -> { resolve, reject, onToken }
      this.lastCall = Promise.resolve() // the calls run one after another
      this.nextId = 0
      thread.onMessage = (message) => this.receive(message)
    }

    async loadWeights(packed) {
      const { config, bugs, weights } = await this.run("load", { packed })
      Object.assign(this, { config, bugs, weights })
      const { image_token_index: image, bos_token_id: bos, eos_token_id: eos, pad_token_id: pad } = config
      this.special = { image, bos, eos, pad }
    }

    ask(request, onToken) {
      return this.call("ask", request, onToken)
    }

    score(request, onToken) {
      return this.call("score", request, onToken)
    }

    compare(request) {
      return this.call("compare", request)
    }

    tokenize(text) {
      return this.call("tokenize", { text })
    }

    mergeSteps(text) {
      return this.call("mergeSteps", { text })
    }

    call(method, { signal, ...request }, onToken = () => {}) {
      const run = () => this.run(method, this.prepare(request), signal, onToken)
      const result = this.lastCall.then(run)
      this.lastCall = result.catch(() => {})
      return result
    }

    run(method, request, signal, onToken = () => {}) {
      signal?.throwIfAborted()
      const id = this.nextId++
      const stop = () => this.thread.post({ kind: "stop", id })
      signal?.addEventListener("abort", stop)
      return new Promise((resolve, reject) => {
        this.calls.set(id, { resolve, reject: (error) => reject(signal?.aborted ? signal.reason : error), onToken })
        this.thread.post({ kind: "call", id, method, request })
      }).finally(() => signal?.removeEventListener("abort", stop))
    }

    receive({ kind, id, token, result, message }) {
      const call = this.calls.get(id)
      if (kind === "token") return call.onToken(token)
      this.calls.delete(id)
      if (kind === "result") call.resolve(result)
      if (kind === "failed") call.reject(new Error(message))
    }

    // Pixels alone are those of the model's own size.
    prepare({ pixels, ...request }) {
      if (!pixels) return request
      const size = this.config.vision_config.image_size
      const { data, width, height } = ArrayBuffer.isView(pixels) ? { data: pixels, width: size, height: size } : pixels
      return { ...request, pixels: { data, width, height } }
    }
  }

  return { load }
})
