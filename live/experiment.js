// What a change to the model or to the image does to an answer.
//
//     const experiment = VLM.experiment.create()
//     const { before, after, answer } = await experiment.run(engine, request, changes)
//
// request: for engine.ask; changes: more of a request, such as { bugs } or { edits }, or null.
//     before    the answer without the changes; the model is asked for it once for an image and a prompt
//     after     the changed model reads the tokens of that answer, so that both can be compared token by token
//     answer    what the changed model answers by itself
"use strict"

VLM.part("experiment", () => {
  function create() {
    let last = { pixels: null, prompt: null, before: null }

    async function run(engine, request, changes) {
      const { pixels, prompt } = request
      if (last.pixels !== pixels || last.prompt !== prompt) {
        last = { pixels, prompt, before: await engine.ask(request) }
      }
      const { before } = last
      if (!changes) return { before, after: before, answer: before }
      const after = await engine.score({ ...request, ...changes, suffix: before.text })
      const answer = await engine.ask({ ...request, ...changes, record: [] })
      return { before, after, answer }
    }

    return { run }
  }

  return { create }
})
