// The prompts that a page offers for a scene, in the words of toybox/prompts.py.
"use strict"

VLM.part("prompts", () => {
  const IRREGULAR_PLURALS = { bus: "buses", butterfly: "butterflies", fish: "fish" }
  const MAX_DETECT_LABELS = 3

  const plural = (label) => IRREGULAR_PLURALS[label] ?? `${label}s`
  const withArticle = (label) => `${"aeiou".includes(label[0]) ? "an" : "a"} ${label}`

  // kinds: the labels in the scene, that of the selected toy first; another: one that is not there.
  const PROMPTS = {
    caption: () => "caption en",
    detect: ({ kinds }) => `detect ${kinds.slice(0, MAX_DETECT_LABELS).join(" ; ")}`,
    segment: ({ kinds }) => `segment ${kinds[0]}`,
    count: ({ kinds }) => `answer en how many ${plural(kinds[0])} are there?`,
    where: ({ kinds }) => `answer en where is the ${kinds[0]}?`,
    presence: ({ another }) => `answer en is there ${withArticle(another)}?`,
    left: ({ kinds, another }) => `answer en which is further left, the ${kinds[0]} or the ${kinds[1] ?? another}?`,
  }

  // { caption: "caption en", ... } for a scene and the toy that is selected in it, or null.
  function promptsFor(scene, selected) {
    const present = [...new Set([selected?.label, ...scene.toys.map((toy) => toy.label)].filter(Boolean))]
    const absent = VLM.scene.LEARNED.toys.filter((label) => !present.includes(label))
    const kinds = present.length > 0 ? present : [absent[0]]
    const others = absent.filter((label) => !kinds.includes(label))
    const another = others[scene.toys.length % others.length]
    return Object.fromEntries(Object.entries(PROMPTS).map(([task, make]) => [task, make({ kinds, another })]))
  }

  return { TASKS: Object.keys(PROMPTS), promptsFor, plural }
})
