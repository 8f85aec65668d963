// An answer in one paragraph, under a title; tokens that differ from those of another answer are marked.
//
//     const text = VLM.answerText.create("Right model")
//     text.element
//     text.show(tokens, others)    `others` are the tokens to compare with; none are marked without them
"use strict"

VLM.part("answerText", () => {
  const { element } = VLM.dom

  function create(title) {
    const words = element("div", { class: "vlm-words", role: "group", "aria-label": title, tabindex: "0" }) // it scrolls
    const show = (tokens, others = tokens) => {
      const written = tokens.filter((token) => !token.isEnd)
      const parts = written.map(({ id, text }, i) => {
        const visible = text.replaceAll("\n", "⏎")
        return id === others[i]?.id ? visible : element("mark", {}, visible)
      })
      if (written.length === 0) parts.push(element("em", {}, "nothing: it ended at once"))
      if (written.length === tokens.length) parts.push(" …")
      words.replaceChildren(...parts)
    }
    return { element: element("div", {}, element("strong", {}, title), words), show }
  }

  return { create }
})
