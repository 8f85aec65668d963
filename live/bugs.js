// Mistakes that people shipped, as switches: each exchanges one piece of the model (OPTIONS in model.js). The page
// "Bugs found in the wild" tells where they were found.
VLM.part("bugs", () => {
  const { Matrix, scale } = VLM.tensor
  const { makePrefixLmMask, makePositionIds, mergeImageFeatures } = VLM.model

  // Switches name -> { label, says, options }, in the order of the model.
  const BUGS = {
    "images-divided": {
      label: "images divided by √D",
      says: "The image features are divided by √D, for a multiplication that no longer follows.",
      options: {
        mergeImageFeatures: (embeds, features, mask) =>
          mergeImageFeatures(embeds, scale(features, 1 / Math.sqrt(features.width)), mask),
      },
    },
    "image-shifted": {
      label: "features shifted by one",
      says: "Each image token gets the features of the patch before it; the first gets those of the last.",
      options: {
        mergeImageFeatures: (embeds, features, mask) => mergeImageFeatures(embeds, shiftRows(features), mask),
      },
    },
    "text-not-scaled": {
      label: "text not scaled by √D",
      says: "The embeddings of text are not multiplied by √D.",
      options: { embedScale: () => 1 },
    },
    "text-scaled-twice": {
      label: "text scaled twice",
      says: "The embeddings of text are multiplied by √D two times.",
      options: { embedScale: (hiddenSize) => hiddenSize },
    },
    "causal-prefix": {
      label: "causal prefix",
      says: "Each position attends to earlier positions only, in the image and in the prompt too.",
      options: { makePrefixLmMask: (attentionMask, types) => makePrefixLmMask(attentionMask, types.map(() => 1)) },
    },
    "padding-visible": {
      label: "padding visible",
      says: "The padding before the image is not masked.",
      options: { makePrefixLmMask: (attentionMask, types) => makePrefixLmMask(attentionMask.map(() => 1), types) },
    },
    "mask-inverted": {
      label: "mask inverted",
      says: "Every position attends to what it should not see, and to nothing else.",
      options: {
        makePrefixLmMask: (attentionMask, types) =>
          makePrefixLmMask(attentionMask, types).map((value) => (value === 0 ? VLM.model.LOWEST : 0)),
      },
    },
    "norm-without-1": {
      label: "norm without 1 +",
      says: "RMSNorm multiplies by its weight, not by 1 + weight.",
      options: { normFactor: (weight) => weight },
    },
    "rotate-neighbors": {
      label: "RoPE on neighbors",
      says: "Entries 0 and 1, 2 and 3, ... are rotated as pairs, not entries 0 and E/2, 1 and E/2 + 1, ...",
      options: { rotateHalf: rotateNeighbors },
    },
    "positions-restarted": {
      label: "positions restarted at decode",
      says: "Every generated token gets position 1, as if it were the first.",
      options: { makePositionIds: (attentionMask, numNew) => makePositionIds(attentionMask.slice(-numNew), numNew) },
    },
    "heads-tiled": {
      label: "heads tiled",
      says: "Key/value heads are handed out in turn (0, 1, 0, 1), not in groups (0, 0, 1, 1).",
      options: { repeatKv: (states, numGroups) => Array(numGroups).fill(states).flat() },
    },
    "exact-gelu": {
      label: "exact GELU",
      says: "The language model's MLPs use the exact GELU, not its tanh approximation.",
      options: { activation: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)) },
    },
    silu: {
      label: "SiLU",
      says: "The language model's MLPs use SiLU, x times its sigmoid, not GELU.",
      options: { activation: (x) => x / (1 + Math.exp(-x)) },
    },
  }

  // The model's options with these bugs planted.
  function plant(names) {
    const unknown = names.find((name) => !(name in BUGS))
    if (unknown) throw new Error(`There is no bug "${unknown}". The bugs are: ${Object.keys(BUGS).join(", ")}.`)
    return Object.assign({}, ...names.map((name) => BUGS[name].options))
  }

  function shiftRows(features) {
    const shifted = new Matrix(features.rows, features.width)
    for (let row = 0; row < features.rows; row++) shifted.row((row + 1) % features.rows).set(features.row(row))
    return shifted
  }

  function rotateNeighbors(states) {
    return states.map((_, i) => (i % 2 ? states.data[i - 1] : -states.data[i + 1]))
  }

  // Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26; its error is below 1.5e-7.
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x))
    const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return Math.sign(x) * (1 - series * Math.exp(-x * x))
  }

  return { BUGS, plant }
})
