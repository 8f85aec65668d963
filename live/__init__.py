"""The shipped model in a web page: plain JavaScript, and `live.export`, which writes its weights file."""

# The scripts of a page in their order: first the model, then what readers see.
MODEL_SCRIPTS = [
    "parts",
    "tensor",
    "hooks",
    "model",
    "bugs",
    "tokenizer",
    "resample",
    "processor",
    "regions",
    "generate",
    "recording",
    "edits",
    "rounding",
    "weights",
    "answers",
    "worker",
    "engine",
]
FIGURE_SCRIPTS = [
    "dom",
    "figures",
    "grounds",
    "scene",
    "overlay",
    "stage",
    "scene_tools",
    "answer_view",
    "prompts",
    "asker",
    "attention",
    "playground",
    "start",
]
