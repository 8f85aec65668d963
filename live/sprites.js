// Cut-out toys and signs, identical to the byte to those that toybox/placement.py, toybox/colors.py and toybox/signs.py
// make with Pillow: they look as in the training scenes.
//
// An image is { data, width, height, channels: 4 } as in resample.js: red, green, blue and alpha, not premultiplied.
"use strict"

VLM.part("sprites", () => {
  const { resample, BICUBIC } = VLM.resample

  const COLORS = { red: 0, yellow: 50, green: 125, blue: 215, purple: 280 } // hue in degrees
  // The kinds that come in all colors, and the color of their original images.
  const NATURAL_COLORS = {
    ball: "blue",
    bird: "red",
    bus: "yellow",
    butterfly: "red",
    car: "red",
    fish: "blue",
    flower: "yellow",
    rocket: "red",
  }
  // The middle of the main part's hues, in degrees; other hues, such as those of a car's windows, stay.
  const MAIN_HUES = { ball: 210, bird: 340, bus: 38, butterfly: 8, car: 338, fish: 215, flower: 45, rocket: 338 }
  const MAIN_WIDTH = 40
  const LEAST_SATURATION = 70 // of 255; grays have no hue to change

  // Board and letters of a sign.
  const PAINTS = {
    white: [
      [250, 250, 245],
      [30, 30, 40],
    ],
    yellow: [
      [250, 210, 60],
      [30, 30, 30],
    ],
    red: [
      [200, 30, 40],
      [255, 255, 255],
    ],
    green: [
      [20, 90, 60],
      [255, 255, 255],
    ],
    blue: [
      [30, 60, 150],
      [255, 255, 255],
    ],
  }
  const OVERSIZE = 3 // signs are drawn three times as large, then scaled down, for smooth edges

  // A toy of `size` x `size` pixels before it is rotated.
  function makeToy(picture, { size, mirrored, tilt }) {
    const small = resize(picture, size, size)
    return rotate(mirrored ? mirror(small) : small, tilt)
  }

  // A sign of `size` pixels in height before it is rotated. board: as makeBoard gives it
  function makeSign(board, sign) {
    return rotate(resize(board, signWidth(sign), sign.size), sign.tilt)
  }

  const signWidth = ({ word, size }) => Math.round(VLM.signs.places[word][size][2] / OVERSIZE)

  // The board with its word, OVERSIZE times as large. sheet: the image with all words (live/toys.py), whose red says
  // how far a pixel is inside of a letter, and whose alpha is the board's
  function makeBoard(sheet, { word, size, paint }) {
    const [top, left, width] = VLM.signs.places[word][size]
    const height = size * OVERSIZE
    const data = new Uint8ClampedArray(width * height * 4)
    const [board, ink] = PAINTS[paint]
    for (let i = 0; i < width * height; i++) {
      const at = 4 * ((top + Math.floor(i / width)) * sheet.width + left + (i % width))
      const letter = sheet.data[at]
      const color = board.map((value, c) => divide255(value * (255 - letter) + ink[c] * letter))
      data.set([...color, sheet.data[at + 3]], 4 * i)
    }
    return { data, width, height, channels: 4 }
  }

  // The image of a toy in a color: the hue of its main part is changed, its light and shade stay.
  function recolor(picture, label, color) {
    if (!color || color === NATURAL_COLORS[label]) return picture
    const data = Uint8ClampedArray.from(picture.data)
    const turned = Math.round((COLORS[color] * 256) / 360)
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 0) continue
      const { hue, saturation, value } = toHsv(data[i], data[i + 1], data[i + 2])
      const distance = Math.abs(((hue * (360 / 256) - MAIN_HUES[label] + 540) % 360) - 180)
      const isMain = distance < MAIN_WIDTH && saturation > LEAST_SATURATION
      writeRgb(isMain ? turned : hue, saturation, value, data, i)
    }
    return { ...picture, data }
  }

  // Bytes to bytes. Pillow cuts the fractions off, and computes in single precision.
  function toHsv(red, green, blue) {
    const value = Math.max(red, green, blue)
    const range = value - Math.min(red, green, blue)
    if (range === 0) return { hue: 0, saturation: 0, value }
    const fromRed = Math.fround((value - red) / range)
    const fromGreen = Math.fround((value - green) / range)
    const fromBlue = Math.fround((value - blue) / range)
    let sixth = Math.fround(fromBlue - fromGreen)
    if (red !== value) sixth = green === value ? 2 + fromRed - fromBlue : 4 + fromGreen - fromRed
    const hue = Math.fround((Math.fround(sixth) / 6 + 1) % 1)
    return { hue: Math.trunc(hue * 255), saturation: Math.trunc(Math.fround(range / value) * 255), value }
  }

  // Which of value, rising, least and falling is red, green and blue, in each sixth of the hues
  const SECTORS = ["012", "302", "201", "230", "120", "023"].map((text) => Array.from(text, Number))

  function writeRgb(hue, saturation, value, data, at) {
    const sixth = (hue * 6) / 255
    const rest = Math.fround(sixth - Math.floor(sixth))
    const strength = Math.fround(saturation / 255)
    parts[0] = value
    parts[1] = Math.round(value * (1 - strength * (1 - rest)))
    parts[2] = Math.round(value * (1 - strength))
    parts[3] = Math.round(value * (1 - Math.fround(strength * rest)))
    const sector = SECTORS[Math.floor(sixth) % 6]
    for (let c = 0; c < 3; c++) data[at + c] = parts[sector[c]]
  }
  const parts = new Uint8ClampedArray(4) // for writeRgb, which runs for every pixel

  // Colors are weighted by alpha: transparent pixels leave no dark rim.
  function resize(image, width, height) {
    return divideByAlpha(resample(multiplyByAlpha(image), width, height, BICUBIC))
  }

  function mirror(image) {
    const pixels = new Uint32Array(image.data.buffer.slice(0))
    for (let y = 0; y < image.height; y++) pixels.subarray(y * image.width, (y + 1) * image.width).reverse()
    return { ...image, data: new Uint8ClampedArray(pixels.buffer) }
  }

  // Counter-clockwise; the result is as large as the corners require. In the order of Pillow's own sums.
  function rotate(image, degrees) {
    if (degrees === 0) return image
    const { width: w, height: h } = image
    const angle = (-degrees * Math.PI) / 180
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)].map((value) => Number(value.toFixed(15)))
    const toOld = (x, y, [right, down]) => [cos * x + sin * y + right, -sin * x + cos * y + down]
    const [right, down] = toOld(-w / 2, -h / 2, [0, 0])
    const shift = [right + w / 2, down + h / 2]
    const corners = [toOld(0, 0, shift), toOld(w, 0, shift), toOld(w, h, shift), toOld(0, h, shift)]
    const [width, height] = [0, 1].map((axis) => {
      const ends = corners.map((corner) => corner[axis])
      return Math.ceil(Math.max(...ends)) - Math.floor(Math.min(...ends))
    })
    const start = toOld(-(width - w) / 2, -(height - h) / 2, shift)
    const old = multiplyByAlpha(image)
    const data = new Uint8ClampedArray(width * height * 4)
    for (let i = 0; i < width * height; i++) {
      const [x, y] = toOld((i % width) + 0.5, Math.floor(i / width) + 0.5, start)
      if (x >= 0 && x < w && y >= 0 && y < h) mixPixels(old, x - 0.5, y - 0.5, data, 4 * i)
    }
    return divideByAlpha({ data, width, height, channels: 4 })
  }

  // Writes four channels between 4 x 4 pixels to data[at], ...; beyond an edge, its pixels are repeated.
  function mixPixels({ data, width, height }, x, y, result, at) {
    const [left, top] = [Math.floor(x), Math.floor(y)]
    for (let step = 0; step < 4; step++) {
      columns[step] = 4 * Math.min(Math.max(left + step - 1, 0), width - 1)
      rows[step] = 4 * width * Math.min(Math.max(top + step - 1, 0), height - 1)
    }
    const between = (row) =>
      cubic(data[row + columns[0]], data[row + columns[1]], data[row + columns[2]], data[row + columns[3]], x - left)
    for (let c = 0; c < 4; c++) {
      const inRow = (index) => between(rows[index] + c)
      result[at + c] = Math.floor(cubic(inRow(0), inRow(1), inRow(2), inRow(3), y - top))
    }
  }
  const [columns, rows] = [new Int32Array(4), new Int32Array(4)] // for mixPixels, which runs for every pixel

  // Through four numbers, between the middle two: Pillow's Geometry.c.
  const cubic = (a, b, c, d, at) => b + at * (c - a + at * (2 * (a - b) + c - d + at * (b - a - c + d)))

  const multiplied = new WeakMap() // of the whole pictures, which are resized again and again
  function multiplyByAlpha(image) {
    if (!multiplied.has(image))
      multiplied.set(
        image,
        changeColors(image, (value, alpha) => divide255(value * alpha)),
      )
    return multiplied.get(image)
  }

  function divideByAlpha(image) {
    return changeColors(image, (value, alpha) => Math.floor((255 * value) / alpha))
  }

  // change(value, alpha) for the colors of pixels that are partly transparent: few are. Opaque ones stay.
  function changeColors(image, change) {
    const data = Uint8ClampedArray.from(image.data)
    for (let i = 0; i < data.length; i += 4) {
      const alpha = data[i + 3]
      if (alpha === 255) continue
      for (let c = 0; c < 3; c++) data[i + c] = alpha === 0 ? 0 : change(data[i + c], alpha)
    }
    return { ...image, data }
  }

  // An integer divided by 255 and rounded, as in Pillow.
  const divide255 = (number) => (number + 128 + ((number + 128) >> 8)) >> 8

  return { COLORS, NATURAL_COLORS, MAIN_HUES, PAINTS, makeToy, makeSign, makeBoard, recolor, signWidth }
})
