"""The map of the model at the top of every chapter: six stages from image to answer, and four topics around them."""

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Stage:
    """A stage on the way through the model, and the short names of the chapters about it."""

    name: str
    part_of_model: str
    chapters: dict[str, str]


FLOW = [
    Stage(
        "See", "vision tower", {"ch02_patches": "Patches", "ch03_attention": "Attention", "ch04_contrastive": "Pairs"}
    ),
    Stage("Read", "processor", {"ch05_processor": "Tokens"}),
    Stage("Join", "merge", {"ch09_merge": "One sequence"}),
    Stage(
        "Think",
        "language model",
        {"ch06_norms_mlp": "Norms, MLP", "ch07_rope": "Positions", "ch08_gqa": "Shared keys", "ch15_gemma2": "Gemma 2"},
    ),
    Stage("Speak", "generation", {"ch10_sampling": "Sampling", "ch11_kv_cache": "Cache", "ch12_batches": "Batches"}),
    Stage("Point", "boxes, masks", {"ch17_boxes": "Boxes", "ch18_masks": "Masks"}),
]
AROUND = [
    Stage("Weights", "load and prove", {"ch13_loading": "Loading", "ch14_proving": "Proving", "ch16_real_thing": "3B"}),
    Stage("Judge", "look and measure", {"ch19_inside": "Inside", "ch20_evaluation": "Evaluation"}),
    Stage("Learn", "training", {"ch21_finetuning": "Fine-tuning", "ch22_pretraining": "Pretraining"}),
    Stage("Grow", "speed and size", {"ch23_fast": "Fast", "ch24_distributed": "Machines"}),
]


def find_stage(chapter: str) -> Stage | None:
    return next((stage for stage in [*FLOW, *AROUND] if chapter in stage.chapters), None)


def draw_map(chapter: str, whole: bool = False) -> str:
    """The map as HTML. On a chapter's page the stage of that chapter is open; with `whole`, all stages are."""
    here = find_stage(chapter)
    stages = ["".join(draw_stage(stage, chapter, whole or stage is here) for stage in row) for row in (FLOW, AROUND)]
    label = "Where you are in the model" if here else "From an image to an answer"
    return (
        f'<nav class="model-map{" model-map-whole" if whole else ""}" aria-label="Map of the model">'
        f'<p class="model-map-label">{label}</p>'
        f'<ol class="model-flow">{stages[0]}</ol><ul class="model-around">{stages[1]}</ul></nav>'
    )


def draw_stage(stage: Stage, chapter: str, is_open: bool) -> str:
    links = "".join(
        f'<li><a href="{name}.html"{" aria-current=page" if name == chapter else ""}>{escape(short)}</a></li>'
        for name, short in stage.chapters.items()
    )
    first = next(iter(stage.chapters))
    chapters = f"<ul>{links}</ul>" if is_open else ""
    title = f"{stage.name} <small>{stage.part_of_model}</small>"
    if chapter in stage.chapters:
        return f'<li class="stage here"><span class="stage-name">{title}</span>{chapters}</li>'
    inside = f"Chapters: {', '.join(stage.chapters.values())}"
    return f'<li class="stage"><a class="stage-name" href="{first}.html" title="{inside}">{title}</a>{chapters}</li>'
