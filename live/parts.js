// The one global of the live model: VLM. Load this script first, then the others; each adds one part.
//
//     VLM.part("tensor", () => { ... return { softmax } })     // from here on there is VLM.tensor.softmax
//
// A part is given as a function so that its source text is at hand: a page that was opened as a file may not start
// a web worker from another file, but it may start one from a text, and `VLM.source()` is that text.
"use strict"

globalThis.VLM ??= {
  makers: {},

  part(name, make) {
    VLM.makers[name] = make
    VLM[name] = make()
  },

  // These parts as a script that can run elsewhere.
  source(names) {
    const parts = names.map((name) => `VLM.part(${JSON.stringify(name)}, ${VLM.makers[name]})`)
    return [`"use strict"`, `globalThis.VLM = { makers: {}, ${VLM.part}, ${VLM.source} }`, ...parts].join("\n")
  },
}
