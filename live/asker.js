// Asks the model about a scene that changes while the model answers.
//
//     const asker = VLM.asker.create({ frame, makeRequest, onStart, onToken, onAnswer, send })
//     asker.ask()       ask now, and give up on an earlier question; tokens come one by one through onToken
//     asker.follow()    ask again since the scene has changed; if the model is busy, as soon as it is free. No onToken:
//                       the old answer stays until the new one is complete
//
// makeRequest() gives what engine.ask takes, as things are when the model is ready. `send` asks something else of the
// engine: (engine, request, onToken) => Promise of what onAnswer gets.
"use strict"

VLM.part("asker", () => {
  const askOnce = (engine, request, onToken) => engine.ask(request, onToken)

  function create({ frame, makeRequest, onStart = () => {}, onToken, onAnswer, send = askOnce }) {
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
        const answer = await send(engine, { ...makeRequest(), signal: mine.signal }, whenToken)
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
