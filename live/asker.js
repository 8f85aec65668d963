// Asks the model about a scene that changes while the model answers.
//
//     const asker = VLM.asker.create({ frame, makeRequest, onStart, onToken, onAnswer })
//     asker.ask()       ask now, and give up on an earlier question; tokens come one by one through onToken
//     asker.follow()    ask again since the scene has changed; if the model is busy, as soon as it is free. No onToken:
//                       the old answer stays until the new one is whole
//
// makeRequest() gives what engine.ask takes, as things are when the model is ready.
"use strict"

VLM.part("asker", () => {
  function create({ frame, makeRequest, onStart, onToken, onAnswer }) {
    let running = null // the AbortController of the question that is being answered
    let isStale = false // whether something has changed since it was asked

    function ask() {
      running?.abort()
      onStart()
      return run(onToken)
    }

    function follow() {
      if (running) isStale = true
      else run()
    }

    async function run(whenToken) {
      const mine = new AbortController()
      running = mine
      try {
        const engine = await frame.engine()
        isStale = false
        const answer = await engine.ask({ ...makeRequest(), signal: mine.signal }, whenToken)
        if (running === mine) onAnswer(answer)
      } catch (error) {
        if (error.name !== "AbortError") frame.sayError(error)
      } finally {
        if (running === mine) {
          running = null
          if (isStale) follow()
        }
      }
    }

    return { ask, follow }
  }

  return { create }
})
