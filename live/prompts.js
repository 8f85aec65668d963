// The prompts that a page offers for a scene, in the format of toybox/prompts.py: those with a clear answer.
"use strict"

VLM.part("prompts", () => {
  const { LEARNED, NATURAL_COLORS } = VLM.scene

  const IRREGULAR_PLURALS = { bus: "buses", butterfly: "butterflies", fish: "fish" }
  const MAX_DETECT_LABELS = 3
  const ADJECTIVES = ["left", "right", "largest", "smallest"]
  const STRANGERS = ["zebra", "volcano", "octopus", "teapot"] // not toys, and not words of the training data either
  // Closer than this, the true answer is ambiguous.
  const [MIN_APART, MIN_TIMES_LARGER] = [6, 1.3]

  const plural = (label) => IRREGULAR_PLURALS[label] ?? `${label}s`
  const withArticle = (label) => `${"aeiou".includes(label[0]) ? "an" : "a"} ${label}`

  // Each takes what `describe` gives, and returns a prompt, or null where the scene has no clear answer.
  const PROMPTS = {
    caption: () => "caption en",
    detect: ({ kinds }) => `detect ${kinds.slice(0, MAX_DETECT_LABELS).join(" ; ")}`,
    refer: ({ phrase }) => phrase && `detect ${phrase}`,
    tint: ({ colored }) => colored && `detect ${colored.color} ${colored.label}`,
    segment: ({ kinds }) => `segment ${kinds[0]}`,
    count: ({ kinds }) => `answer en how many ${plural(kinds[0])} are there?`,
    color: ({ singles }) => {
      const label = singles.find((kind) => kind in NATURAL_COLORS)
      return label ? `answer en what color is the ${label}?` : null
    },
    where: ({ singles }) => (singles.length > 0 ? `answer en where is the ${singles[0]}?` : null),
    left: ({ singles: [first, second] }) =>
      second ? `answer en which is further left, the ${first} or the ${second}?` : null,
    ocr: ({ sign }) => sign && "ocr",
    presence: ({ absent }) => `answer en is there ${withArticle(absent)}?`,
    stranger: ({ stranger }) => `answer en is there ${withArticle(stranger)}?`,
  }

  // The prompts of some tasks for the scene on a stage and the toy that is selected there; tasks that the scene does
  // not allow are left out.
  function offer(tasks, { scene, selected, rendering }) {
    const found = describe(scene, selected, rendering.boxes)
    return tasks.map((task) => PROMPTS[task](found)).filter((prompt) => prompt !== null)
  }

  // kinds     the labels in the scene, that of the selected toy first; a kind that is not there if there are no toys
  // singles   those of them of which there is one
  // phrase    "left cat", if possible one that means the selected toy
  // colored   a toy of a kind that comes in colors
  // absent    a kind that is not there; stranger: the name of something that is not a toy
  function describe({ toys, sign }, selected, boxes) {
    const first = toys.find((toy) => toy === selected) // it may be the sign
    const present = [...new Set([first, ...toys].filter(Boolean).map((toy) => toy.label))]
    const others = LEARNED.toys.filter((label) => !present.includes(label))
    const absent = others[toys.length % others.length]
    return {
      kinds: present.length > 0 ? present : [absent],
      singles: present.filter((label) => toys.filter((toy) => toy.label === label).length === 1),
      phrase: findPhrase(toys, boxes, present, toys.indexOf(first)),
      colored: [first, ...toys].find((toy) => toy?.color) ?? null,
      absent,
      stranger: STRANGERS[toys.length % STRANGERS.length],
      sign,
    }
  }

  function findPhrase(toys, boxes, kinds, selected) {
    const several = kinds.find((label) => toys.filter((toy) => toy.label === label).length > 1)
    const things = toys.map((toy, index) => ({ ...toy, box: boxes[index] })).filter(({ box }) => box)
    if (!several || things.length < toys.length) return null // a completely hidden toy has no position
    const meant = ADJECTIVES.map((adjective) => [adjective, findReferred(things, adjective, several)])
    const clear = meant.filter(([, indices]) => indices !== null)
    const [adjective] = clear.find(([, [index]]) => index === selected) ?? clear[0] ?? []
    return adjective ? `${adjective} ${several}` : null
  }

  // The indices of what "left cat" refers to, as in `find_referred` of toybox/prompts.py; null if it is ambiguous.
  // things: [{ label, box: [yMin, xMin, yMax, xMax] }]
  function findReferred(things, adjective, label) {
    const measure = (index) => {
      const [top, left, bottom, right] = things[index].box
      return ["left", "right"].includes(adjective) ? (left + right) / 2 : (bottom - top) * (right - left)
    }
    const found = [...things.keys()].filter((index) => things[index].label === label)
    if (found.length < 2) return found
    const sign = ["right", "largest"].includes(adjective) ? -1 : 1
    const [best, next] = [...found].sort((a, b) => sign * (measure(a) - measure(b)))
    const [smaller, larger] = [measure(best), measure(next)].sort((a, b) => a - b)
    const isPlace = ["left", "right"].includes(adjective)
    const isClear = isPlace ? larger - smaller >= MIN_APART : larger >= MIN_TIMES_LARGER * smaller
    return isClear ? [best] : null
  }

  return { TASKS: Object.keys(PROMPTS), ADJECTIVES, STRANGERS, offer, plural, findReferred }
})
