// Runs what the live figures draw and offer, in Node, for tests/test_live_scene.py. Each line of standard input is JSON.
// The first: { signs: places of the words, pictures: as VLM.pictures.load gives them }. The others: a list of calls, each
// the name of a function below and its arguments; the answer is a line with a list of the results. Bytes are
// { uint8: base64 }.
"use strict"

const { join } = require("node:path")
const { createInterface } = require("node:readline")

const PARTS = ["parts", "resample", "grounds", "sprites", "scene", "scene_text", "random_scene", "examples", "prompts"]
for (const part of PARTS) require(join(__dirname, "..", "live", `${part}.js`))

let pictures = null

const CALLS = {
  recolor: (label, color) => VLM.sprites.recolor(pictures[label], label, color),
  toy: (toy) => VLM.sprites.makeToy(VLM.sprites.recolor(pictures[toy.label], toy.label, toy.color), toy),
  sign: (sign) => VLM.sprites.makeSign(VLM.sprites.makeBoard(pictures.signs, sign), sign),

  tables: () => ({ ...VLM.scene, ...VLM.sprites, ...VLM.randomScene, ...VLM.prompts, ...VLM.grounds, ...VLM.examples }),
  plurals: (labels) => labels.map(VLM.prompts.plural),

  paintGround: (name, seed) => VLM.grounds.paintGround(name, seed),
  hasShadesOfNamed: (pixels) => VLM.grounds.hasShadesOfNamed(Array.from(pixels)),

  render: (text) => VLM.scene.render(VLM.sceneText.fromText(text), pictures),
  strangeness: (text) => {
    const scene = VLM.sceneText.fromText(text)
    return VLM.scene.strangeness(scene, VLM.scene.render(scene, pictures))
  },
  fromText: (text) => VLM.sceneText.fromText(text),
  toText: (scene) => VLM.sceneText.toText(scene),
  randomScene: (seed) => VLM.sceneText.toText(VLM.randomScene.randomScene(VLM.grounds.randomNumbers(seed))),

  offer: (text, selected = null) => {
    const scene = VLM.sceneText.fromText(text)
    const stage = { scene, selected: scene.toys[selected] ?? null, rendering: VLM.scene.render(scene, pictures) }
    return VLM.prompts.offer(VLM.prompts.TASKS, stage)
  },
  findReferred: (things, adjective, label) => VLM.prompts.findReferred(things, adjective, label),
}

function unpack(key, value) {
  if (value?.float32 !== undefined) return new Float32Array(new Uint8Array(Buffer.from(value.float32, "base64")).buffer)
  return value?.uint8 === undefined ? value : new Uint8ClampedArray(Buffer.from(value.uint8, "base64"))
}

function pack(key, value) {
  if (!ArrayBuffer.isView(value)) return value
  const kind = { Float32Array: "float32", Int8Array: "int8" }[value.constructor.name] ?? "uint8"
  return { [kind]: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const read = JSON.parse(line, unpack)
  if (pictures === null) {
    VLM.signs = { places: read.signs }
    pictures = read.pictures
  } else {
    console.log(
      JSON.stringify(
        read.map(([name, ...args]) => CALLS[name](...args)),
        pack,
      ),
    )
  }
})
