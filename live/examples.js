// Ready scenes, as texts of scene_text.js.
"use strict"

VLM.part("examples", () => {
  // For small figures. The toys lie as in the example images of the book (toybox/example_pictures).
  const READY = [
    "grass.29_bird.37.23.26.0_bird.75.72.34.0_cat.67.42.47.0_cat.28.65.38.0",
    "night.37_car.53.82.49.0_dog.56.32.46.0_dog.79.72.36.0",
    "sand.30_house.37.28.50.0_turtle.74.80.32.0",
    "water.7_clock.43.59.26.0_apple.78.38.41.0_flower.28.41.44.0_apple.82.66.29.0",
    "sky.25_rocket.35.51.43.0_frog.22.92.34.0",
    "sky.41_fish.60.82.38.0_fish.93.68.27.0_dog.18.58.28.0_red-fish.70.20.34.0",
    "sand.12_sign-ART.64.56.18.0.white_blue-rocket.44.21.40.0_tree.35.40.46.0_tree.26.86.36.0",
  ]

  // For the playground: what the model has learned, each with a prompt to begin with.
  const EXAMPLES = [
    {
      title: "The left cat",
      scene: "stripes.12_cat.76.84.42.-8_cat.38.28.44.0.m_dog.84.32.38.0",
      prompt: "detect left cat",
    },
    {
      title: "The blue car",
      scene: "plain.9aa7b0_blue-car.34.32.44.0_car.80.80.44.10_green-bus.36.86.40.0.m",
      prompt: "detect blue car",
    },
    {
      title: "Which color?",
      scene: "sky.14_purple-rocket.46.60.56.12_yellow-bird.92.24.30.0",
      prompt: "answer en what color is the rocket?",
    },
    {
      title: "A sign to read",
      scene: "grass.5_sign-STOP.28.66.24.-3.red_dog.82.36.46.0_apple.84.88.30.0",
      prompt: "ocr",
    },
    {
      title: "Half hidden",
      scene: "checks.4_turtle.66.44.54.0_house.54.74.50.0",
      prompt: "segment turtle",
    },
    {
      title: "Cut off by the edge",
      scene: "water.9_boat.30.104.44.0_fish.76.40.36.12",
      prompt: "detect boat ; fish",
    },
    {
      title: "As large as the image",
      scene: "gradient.3_frog.56.56.88.14",
      prompt: "answer en is there a frog?",
    },
    {
      title: "Six small ones",
      scene:
        "night.21_cat.22.22.30.0_cat.28.64.32.0_dog.26.96.28.0_cat.76.20.30.0_tree.84.58.34.0_yellow-ball.74.94.26.0",
      prompt: "answer en how many cats are there?",
    },
    {
      title: "Nothing at all",
      scene: "snow.6",
      prompt: "caption en",
    },
    {
      title: "A zebra?",
      scene: "blur.8_cat.60.38.48.0_purple-ball.74.88.30.0",
      prompt: "answer en is there a zebra?",
    },
  ]

  return { READY, EXAMPLES }
})
