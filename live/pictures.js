// The images of the toys, and the sheet with the words on signs.
//
//     const pictures = await VLM.pictures.load()
//     pictures.cat        { data, width, height, channels: 4 }, as in sprites.js; 256 x 256
//     pictures.signs      the sheet; VLM.signs.places says where each word is
//     VLM.pictures.draw(context, thing, pictures)     its middle at (0, 0); a unit is a pixel of S x S
"use strict"

VLM.part("pictures", () => {
  const { pictureOf, sidesOf } = VLM.scene

  // The pictures are beside this script, or already here, in a notebook's page (live/jupyter.py).
  const HERE = document.currentScript.src || document.baseURI
  const { version = "" } = document.currentScript.dataset // in the address, as in engine.js

  let pictures = null
  const load = () => {
    pictures ??= read()
    pictures.catch(() => (pictures = null)) // the next figure tries again
    return pictures
  }

  // They come in a script, since a page that was opened as a file may not read the pixels of another file.
  async function read() {
    if (!VLM.toyPictures) await loadScript()
    const addresses = Object.entries({ ...VLM.toyPictures, signs: VLM.signs.sheet })
    return Object.fromEntries(
      await Promise.all(addresses.map(async ([name, address]) => [name, await decode(address)])),
    )
  }

  function loadScript() {
    return new Promise((done, fail) => {
      const script = document.createElement("script")
      script.src = new URL(`toys_data.js?v=${version}`, HERE)
      script.onload = done
      script.onerror = () => fail(new Error("The toys could not be loaded. Check the network, then reload the page."))
      document.head.append(script)
    })
  }

  async function decode(address) {
    const image = new Image()
    image.src = address
    await image.decode()
    const { naturalWidth: width, naturalHeight: height } = image
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })
    context.drawImage(image, 0, 0)
    return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 }
  }

  const canvases = new WeakMap() // of whole pictures
  function draw(context, thing, pictures) {
    const picture = pictureOf(thing, pictures)
    if (!canvases.has(picture)) {
      const canvas = new OffscreenCanvas(picture.width, picture.height)
      canvas.getContext("2d").putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0)
      canvases.set(picture, canvas)
    }
    const [height, width] = sidesOf(thing)
    context.save()
    context.rotate((-thing.tilt * Math.PI) / 180)
    context.scale(thing.mirrored ? -1 : 1, 1)
    context.drawImage(canvases.get(picture), -width / 2, -height / 2, width, height)
    context.restore()
  }

  return { load, draw }
})
