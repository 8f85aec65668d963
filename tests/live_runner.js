// Runs the live model in Node for tests/test_live.py. Standard input: { weights: path, calls: [[name, argument], ...] }.
// Standard output: a list of the results. Numbers of a typed array come as { base64, shape }; bytes go in as { base64 }.
"use strict"

const { readFileSync } = require("node:fs")
const { join } = require("node:path")

const PARTS = ["parts", "tensor", "hooks", "model", "bugs", "tokenizer", "resample", "processor", "regions", "generate"]
for (const part of [...PARTS, "recording", "edits", "rounding", "weights", "answers", "worker"]) {
  require(join(__dirname, "..", "live", `${part}.js`))
}

const pause = async () => {}
let weightsPath = null

const CALLS = {
  ask: (answers, request) => answers.ask(request, pause),
  score: (answers, request) => answers.score(request, pause),
  compare: (answers, request) => answers.compare(request, pause),

  // Logits [S, V] of all positions in one pass, without a cache.
  async logits(answers, { pixels, prompt, suffix, padding = 0, bugs = [] }) {
    const model = makeModel(answers, bugs)
    const prefix = VLM.processor.encodePrefix(prompt, answers.tokenizer, answers.config, padding)
    const answer = answers.tokenizer.encode(suffix)
    const types = [...prefix.map(() => 0), ...answer.map(() => 1)]
    const isReal = types.map((_, i) => (i < padding ? 0 : 1))
    const features = await model.getImageFeatures(VLM.processor.processImage(pixels, answers.size))
    return model.forward([...prefix, ...answer], isReal, types, null, 0, features)
  },

  parameters(answers) {
    const size = (tensor) => (tensor.data ?? tensor).length
    return Array.from(makeModel(answers, []).namedParameters(), ([name, part, field]) => [name, size(part[field])])
  },

  bugs: (answers) => answers.describe().bugs,
  weights: (answers) => answers.describe().weights,
  mergeSteps: (answers, text) => answers.mergeSteps(text),
  encode: (answers, texts) => texts.map((text) => answers.tokenizer.encode(text)),
  decode: (answers, lists) => lists.map((ids) => answers.tokenizer.decode(ids)),
  image: (answers, { image, size }) => VLM.processor.processImage(image, size),
  detections: (answers, texts) => texts.map((text) => VLM.regions.parseDetections(text, 112, 112)),
  decodeMask: (answers, codes) => answers.maskDecoder.forward(codes),
  pasteMask: (answers, { values, box, height, width }) => VLM.regions.pasteMask(values, box, height, width),
  filterTopP: (answers, { probabilities, topP }) => VLM.generate.filterTopP(probabilities, topP),

  // `count` draws, one after another, from one stream of random numbers.
  draw(answers, { logits, temperature, topP, seed, count }) {
    const random = VLM.generate.randomNumbers(seed)
    return Array.from({ length: count }, () => VLM.generate.chooseToken(logits, temperature, topP, random))
  },

  // Milliseconds of the processor: of the longest piece of work between two pauses while the weights are read and while
  // some requests are answered, of all that the first request takes, and of plain loops with as many multiplications.
  async measure(_, requests) {
    const now = () => process.cpuUsage().user / 1000
    let [longest, last] = [0, now()]
    const watch = async () => {
      longest = Math.max(longest, now() - last)
      last = now()
    }
    const answers = new VLM.answers.Answers(await VLM.weights.read(readFileSync(weightsPath), watch))
    for (const request of requests) await answers.ask(request, watch) // compiles the code, too
    await watch()
    const start = now()
    const { multiplications } = await answers.ask({ ...requests[0], padding: 1 }, pause) // the image is read again
    const [answer, between] = [now() - start, now()]
    multiplyPlainly(multiplications.image + multiplications.prompt + multiplications.tokens)
    return { longest, answer, plain: now() - between, multiplications }
  },

  // The messages of a worker that is told to stop while it answers, and then asked again.
  async stop(answers, request) {
    const messages = []
    const receive = VLM.worker.makeReceiver((message) => messages.push(message))
    await receive({ kind: "call", id: 0, method: "load", request: { packed: readFileSync(weightsPath) } })
    const running = receive({ kind: "call", id: 1, method: "ask", request })
    await receive({ kind: "stop", id: 1 })
    await running
    await receive({ kind: "call", id: 2, method: "ask", request })
    return messages.map(({ kind, id, message }) => ({ kind, id, message }))
  },
}

function multiplyPlainly(count) {
  const [left, right] = [0.5, 0.25].map((value) => new Float32Array(512).fill(value))
  for (let done = 0; done < count; done += 512) {
    let sum = 0
    for (let i = 0; i < 512; i++) sum += left[i] * right[i]
    left[done % 511] = sum / 1e6 // so that nothing can be left out
  }
}

function makeModel(answers, bugs) {
  const { PaliGemmaForConditionalGeneration } = VLM.model
  const model = new PaliGemmaForConditionalGeneration(answers.config, new VLM.hooks.Hooks(), VLM.bugs.plant(bugs))
  model.loadStateDict(answers.tensors)
  return model
}

function unpack(key, value) {
  if (value?.uint8 !== undefined) return new Uint8ClampedArray(Buffer.from(value.uint8, "base64"))
  if (value?.float32 !== undefined) return new Float32Array(new Uint8Array(Buffer.from(value.float32, "base64")).buffer)
  return value
}

function pack(key, value) {
  if (value instanceof VLM.tensor.Matrix) return { data: value.data, shape: [value.rows, value.width] }
  if (!ArrayBuffer.isView(value)) return value
  const kind = value instanceof Float32Array ? "float32" : "uint8"
  return { [kind]: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") }
}

async function main() {
  const { weights, calls } = JSON.parse(readFileSync(0, "utf-8"), unpack)
  weightsPath = weights
  const answers = new VLM.answers.Answers(await VLM.weights.read(readFileSync(weights)))
  const results = []
  for (const [name, argument] of calls) {
    try {
      results.push(await CALLS[name](answers, argument))
    } catch (error) {
      results.push({ error: error.message })
    }
  }
  process.stdout.write(JSON.stringify(results, pack))
}

main()
