// Elements of a page in one expression: element("button", { type: "button", onclick: ask }, "Ask").
"use strict"

VLM.part("dom", () => {
  // Functions and booleans are set as properties (onclick, disabled), all else as attributes. Children may be strings.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (["function", "boolean"].includes(typeof value)) made[name] = value
      else made.setAttribute(name, value)
    }
    made.append(...children)
    return made
  }

  const button = (text, onclick, attributes = {}) => element("button", { type: "button", onclick, ...attributes }, text)

  // Run a function once for all calls of the same frame of the screen.
  function oncePerFrame(run) {
    let waits = false
    return () => {
      if (waits) return
      waits = true
      requestAnimationFrame(() => {
        waits = false
        run()
      })
    }
  }

  return { element, button, oncePerFrame }
})
