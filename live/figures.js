// Finds the elements for live figures in a page, and gives each figure its frame.
//
//     <div class="live-figure" data-figure="playground">what readers without JavaScript see</div>
//
// A file for a figure calls VLM.figures.define("playground", (frame, data) => { ... }) and fills frame.body;
// `data` are the element's data attributes. start.js mounts the figures of the page.
"use strict"

VLM.part("figures", () => {
  const { element } = VLM.dom
  const ANNOUNCE_DELAY = 400 // milliseconds
  const makers = {}

  const define = (name, make) => {
    makers[name] = make
  }

  function mountAll(root = document) {
    for (const place of root.querySelectorAll(".live-figure[data-figure]")) {
      if (place.classList.contains("is-live")) continue
      try {
        mount(place)
      } catch (error) {
        place.classList.add("has-failed")
        console.error(error)
      }
    }
  }

  function mount(place) {
    const make = makers[place.dataset.figure]
    if (!make) throw new Error(`There is no live figure "${place.dataset.figure}": ${Object.keys(makers).join(", ")}.`)
    const frame = createFrame(place)
    make(frame, place.dataset)
    place.replaceChildren(frame.body) // if anything fails before this, the fallback text remains
    if (!frame.foot.isConnected) place.append(frame.foot) // unless the figure has placed it itself
    place.classList.add("is-live")
  }

  // What every figure has: a body, and below it a status line and a progress bar for loading the model.
  function createFrame(place) {
    const body = element("div", { class: "vlm-body" })
    const status = element("p", { class: "vlm-status", role: "status" })
    const bar = element("progress", { max: 1, value: 0, hidden: true, "aria-label": "The model is loading" })
    const spoken = element("p", { class: "vlm-spoken", "aria-live": "polite" })
    const foot = element("div", { class: "vlm-foot" }, bar, status, spoken)

    const say = (text) => {
      status.textContent = text
      status.classList.remove("is-error")
    }

    // An error's message says what to do.
    const sayError = (error) => {
      say(error.message)
      status.classList.add("is-error")
    }

    // Only for screen readers: what others see in the figure. Of many in a row, as in a drag, only the last.
    let timer = null
    const announce = (text) => {
      clearTimeout(timer)
      timer = setTimeout(() => (spoken.textContent = text), ANNOUNCE_DELAY)
    }

    // The model, which all figures of the page share. The first figure that asks for it loads it.
    async function engine() {
      try {
        return await VLM.engine.load((fraction) => {
          bar.hidden = fraction === 1
          bar.value = fraction
        })
      } finally {
        bar.hidden = true
      }
    }

    // Call when the reader comes near the figure: what it shows at first is not needed earlier.
    function whenNear(callback) {
      const observer = new IntersectionObserver(
        (entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return
          observer.disconnect()
          callback()
        },
        { rootMargin: "600px" },
      )
      observer.observe(place)
    }

    return { body, foot, say, sayError, announce, engine, whenNear }
  }

  return { define, mountAll }
})
