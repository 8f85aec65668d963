// A stage with what a small figure needs to change its scene: ready scenes to choose, and the tools folded away.
//
//     const choice = VLM.sceneChoice.create({ frame, pictures, scene, onChange, onSelect })
//     choice.stage      see stage.js; put its element where the figure wants it
//     choice.select     a label with the ready scenes
//     choice.tools      "Change the scene": toys to add, the ground, an image of the reader's own
//
// `scene` is a text as VLM.scene.toText writes it; the first ready scene if it is left out.
"use strict"

VLM.part("sceneChoice", () => {
  const { fromText, toText } = VLM.scene
  const { element } = VLM.dom

  // The toys lie as in the example images of the book.
  const READY = [
    "grass.29_bird.37.23.26.0_bird.75.72.34.0_cat.67.42.47.0_cat.28.65.38.0",
    "night.37_car.53.82.49.0_dog.56.32.46.0_dog.79.72.36.0",
    "sand.30_house.37.28.50.0_turtle.74.80.32.0",
    "water.7_clock.43.59.26.0_apple.78.38.41.0_flower.28.41.44.0_apple.82.66.29.0",
    "sky.25_rocket.35.51.43.0_frog.22.92.34.0",
  ]

  function create({ frame, pictures, scene = READY[0], onChange, onSelect = () => {} }) {
    const ready = [scene, ...READY.filter((text) => text !== scene)]
    const list = element("select", {}, ...ready.map((text) => new Option(describe(fromText(text)), text)))
    const own = element("option", { value: "own", hidden: true }, "your scene")
    list.append(own)

    const stage = VLM.stage.create({
      ...{ scene: fromText(scene), pictures, announce: frame.announce },
      onChange: () => {
        update()
        onChange()
      },
      onSelect: () => {
        toyTools.update()
        onSelect()
      },
    })
    list.onchange = () => stage.show(fromText(list.value))

    const shelf = VLM.sceneTools.createShelf({ stage, pictures, frame })
    const toyTools = VLM.sceneTools.createToyTools({ stage, frame })
    const sceneTools = VLM.sceneTools.createSceneTools({ stage, frame })
    const tools = element("details", { class: "vlm-change" }, element("summary", {}, "Change the scene"))
    tools.append(shelf, toyTools, sceneTools, stage.help)

    function update() {
      const isReady = stage.scene.ground.name !== "picture" && ready.includes(toText(stage.scene))
      list.value = isReady ? toText(stage.scene) : "own"
      own.hidden = isReady
      toyTools.update()
      sceneTools.update()
    }

    return { stage, select: element("label", { class: "vlm-scene-choice" }, "Scene ", list), tools }
  }

  // "2 birds, 2 cats on grass"
  function describe({ ground, toys }) {
    const kinds = [...new Set(toys.map((toy) => toy.label))]
    const counts = kinds.map((kind) => [toys.filter((toy) => toy.label === kind).length, kind])
    const named = counts.map(([count, kind]) => (count === 1 ? `1 ${kind}` : `${count} ${VLM.prompts.plural(kind)}`))
    return `${named.join(", ")} on ${ground.name}`
  }

  return { create }
})
