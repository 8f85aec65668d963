// A stage with what a small figure needs to change its scene: ready scenes to choose, and the tools folded away.
//
//     const choice = VLM.sceneChoice.create({ frame, pictures, scene, onChange, onSelect })
//     choice.stage      see stage.js; put its element where the figure wants it
//     choice.select     a label with the ready scenes
//     choice.tools      "Change the scene": toys to add, the ground, an image of the reader's own
//
// `scene` is a text as VLM.sceneText.toText writes it; the first ready scene if it is left out.
"use strict"

VLM.part("sceneChoice", () => {
  const { fromText, toText } = VLM.sceneText
  const { READY } = VLM.examples
  const { element } = VLM.dom

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

  // "2 birds, 2 cats on grass"; "1 tree, a sign on sand"
  function describe({ ground, sign, toys }) {
    const kinds = [...new Set(toys.map((toy) => toy.label))]
    const counts = kinds.map((kind) => [toys.filter((toy) => toy.label === kind).length, kind])
    const named = counts.map(([count, kind]) => (count === 1 ? `1 ${kind}` : `${count} ${VLM.prompts.plural(kind)}`))
    return `${[...named, ...(sign ? ["a sign"] : [])].join(", ")} on ${ground.name}`
  }

  return { create }
})
