// The thread that computes: receives messages, runs VLM.answers, and sends back the results. Where there can be no
// worker, the page's own thread does it, and `makePause` lets the page draw.
VLM.part("worker", () => {
  const SLICE_MS = 12 // how long a page's own thread may be busy; it finishes the layer that it is in

  // post(message) sends to engine.js. Returns the function that gets its messages:
  //   { kind: "call", id, method, request }   -> { kind: "token", id, token }, ..., { kind: "result", id, result }
  //                                              or { kind: "failed", id, message }
  //   { kind: "stop", id }                    the call fails at its next pause
  function makeReceiver(post) {
    const stopped = new Set()
    let answers = null
    const methods = {
      load: async ({ packed }, pause) => {
        answers = new VLM.answers.Answers(await VLM.weights.read(packed, pause))
        return answers.describe()
      },
      ask: (...args) => answers.ask(...args),
      score: (...args) => answers.score(...args),
      compare: (...args) => answers.compare(...args),
      tokenize: ({ text }) => answers.tokenize(text),
      mergeSteps: ({ text }) => answers.mergeSteps(text),
    }
    return async ({ kind, id, method, request }) => {
      if (kind === "stop") return stopped.add(id)
      try {
        const pause = makePause(() => stopped.has(id))
        const result = await methods[method](request, pause, (token) => post({ kind: "token", id, token }))
        post({ kind: "result", id, result })
      } catch (error) {
        post({ kind: "failed", id, message: error.message })
      }
    }
  }

  // A function that lets waiting events run if the last time is long ago, and throws once isStopped() is true.
  function makePause(isStopped) {
    let last = performance.now()
    return async () => {
      if (performance.now() - last < SLICE_MS) return
      await new Promise(runLater)
      last = performance.now()
      if (isStopped()) throw new Error("stopped")
    }
  }

  // As setTimeout(run, 0), without its four milliseconds.
  function runLater(run) {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      run()
    }
    port2.postMessage(null)
  }

  return { makeReceiver, makePause }
})
