// Labeled controls of a figure.
//
//     const control = VLM.controls.slider("Temperature", { min: 0, max: 2, step: 0.1, value: 1 }, onChange)
//     control.element        put it into the figure
//     control.value          read it, or set it; setting calls nothing
//     VLM.controls.choice("Layer", { 0: "layer 0", 1: "layer 1" }, onChange)    a list of { value: text }
//     VLM.controls.check("Move both", onChange)                                 value is true or false
//
//     VLM.controls.keepFocus(place, () => ...)     what is focused in `place` stays so if its successor has its data-key
//
// A slider may have `show`, (value) => the text beside it, and `disabled` can be set on all of them.
"use strict"

VLM.part("controls", () => {
  const { element } = VLM.dom

  function slider(label, { min, max, step = 1, value, show = String }, onChange = () => {}) {
    const input = element("input", { type: "range", min, max, step, value })
    const output = element("output")
    const update = () => {
      output.textContent = show(Number(input.value))
      input.setAttribute("aria-valuetext", output.textContent)
    }
    input.oninput = () => {
      update()
      onChange()
    }
    update()
    const name = element("span", { class: "vlm-slider-name" }, label)
    const control = { element: element("label", { class: "vlm-slider" }, name, input, output), input }
    return withValue(control, Number, (next) => {
      input.value = next
      update()
    })
  }

  function choice(label, texts, onChange = () => {}) {
    const input = element("select", { onchange: onChange })
    input.append(...Object.entries(texts).map(([value, text]) => new Option(text, value)))
    const control = { element: element("label", { class: "vlm-choice" }, `${label} `, input), input }
    return withValue(control, String, (next) => (input.value = next))
  }

  function check(label, onChange = () => {}) {
    const input = element("input", { type: "checkbox", onchange: onChange })
    const control = { element: element("label", { class: "vlm-check" }, input, ` ${label}`), input }
    return Object.defineProperty(control, "value", {
      get: () => input.checked,
      set: (next) => (input.checked = next),
    })
  }

  function keepFocus(place, change) {
    const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : null
    change()
    if (key) place.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true })
  }

  function withValue(control, read, write) {
    return Object.defineProperty(control, "value", { get: () => read(control.input.value), set: write })
  }

  return { slider, choice, check, keepFocus }
})
