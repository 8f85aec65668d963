// Runs what the small live figures compute, in Node, for tests/test_live_labs.py. Standard input: a list of calls, each
// the name of a function below and its arguments. Standard output: a list of the results, typed arrays as plain lists.
"use strict"

const { readFileSync } = require("node:fs")
const { join } = require("node:path")

const MODEL = ["parts", "tensor", "hooks", "model", "bugs", "generate"]
const FIGURES = ["mask_lab", "rotation", "similarity", "gates", "sampling", "eight_bits", "tokenizer_box"]
const load = (name) => require(join(__dirname, "..", "live", `${name}.js`))

MODEL.forEach(load)
VLM.figures = { define() {} } // there is no page
FIGURES.forEach(load)

const { Matrix } = VLM.tensor
const tensor = ({ data, shape }) => ({ data: Float32Array.from(data), shape })
const matrix = (numbers) => new Matrix(1, numbers.length, Float32Array.from(numbers))

const CALLS = {
  layOut: (counts, rule) => VLM.maskLab.layOut(counts, rule),
  explainAll: (counts) => {
    const row = VLM.maskLab.layOut(counts)
    const keys = row.kinds.map((_, key) => key)
    return keys.slice(-row.numNew).map((query) => keys.map((key) => VLM.maskLab.explain(row, query, key, counts.window)))
  },

  makeQuery: () => VLM.rotation.makeQuery().data,
  rotatedScore: (query, key, queryPosition, keyPosition) => {
    const { rotate, score } = VLM.rotation
    return score(rotate(matrix(query), queryPosition), rotate(matrix(key), keyPosition))
  },
  scoresByDistance: (back, distances) => {
    const { makeQuery, makeKey, scoreAt } = VLM.rotation
    const query = makeQuery()
    return distances.map((distance) => scoreAt(query, makeKey(query, back), distance))
  },

  toRow: (states, index) => VLM.similarity.toRow(tensor(states), index),
  findKinds: (owner, toys, count) => VLM.similarity.findKinds(Int8Array.from(owner), toys, count),
  rankGates: (gates, proposals, position) => {
    return VLM.gates.rankGates({ gates: [tensor(gates)], proposals: [tensor(proposals)] }, 0, position)
  },
  openings: (gates, gate, count) => VLM.gates.openings({ gates: [tensor(gates)] }, 0, gate, count),

  distribution: (logits, temperature, topP) => {
    return VLM.sampling.distribution(Float32Array.from(logits), temperature, topP)
  },
  drawIds: (logits, temperature, topP, seed, count) => {
    return VLM.sampling.draw(Float32Array.from(logits), temperature, topP, seed, count)
  },
  countEqual: (values) => VLM.sampling.countEqual(values),

  countBytes: (...args) => VLM.eightBits.countBytes(...args),
  meanIou: (...args) => VLM.eightBits.meanIou(...args),
  countKinds: (pieces) => VLM.tokenizerBox.countKinds(pieces),
  findMerge: (before, after) => VLM.tokenizerBox.findMerge(before, after),
}

const calls = JSON.parse(readFileSync(0, "utf-8"))
const results = calls.map(([name, ...args]) => CALLS[name](...args))
process.stdout.write(JSON.stringify(results, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value)))
