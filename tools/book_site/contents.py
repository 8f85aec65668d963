"""The entry of each page in the table of contents, and the chapters that a chapter builds on."""

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent

BUILDS_ON = {
    "ch00_setup": [],
    "ch01_whole_vlm": [],
    "ch02_patches": ["ch01_whole_vlm"],
    "ch03_attention": ["ch02_patches"],
    "ch04_contrastive": ["ch03_attention"],
    "ch05_processor": ["ch01_whole_vlm"],
    "ch06_norms_mlp": ["ch01_whole_vlm"],
    "ch07_rope": ["ch03_attention", "ch06_norms_mlp"],
    "ch08_gqa": ["ch03_attention", "ch07_rope"],
    "ch09_merge": ["ch05_processor", "ch08_gqa"],
    "ch10_sampling": ["ch09_merge"],
    "ch11_kv_cache": ["ch08_gqa", "ch10_sampling"],
    "ch12_batches": ["ch09_merge", "ch11_kv_cache"],
    "ch13_loading": ["ch12_batches"],
    "ch14_proving": ["ch13_loading"],
    "bugs_in_the_wild": ["ch14_proving"],
    "capstone": ["ch14_proving"],
    "ch15_gemma2": ["ch08_gqa", "ch11_kv_cache"],
    "ch16_real_thing": ["ch13_loading", "ch15_gemma2"],
    "ch17_boxes": ["ch05_processor", "ch10_sampling"],
    "ch18_masks": ["ch17_boxes"],
    "ch19_inside": ["ch03_attention", "ch10_sampling"],
    "ch20_evaluation": ["ch17_boxes", "ch18_masks"],
    "ch21_finetuning": ["ch09_merge", "ch20_evaluation"],
    "ch22_pretraining": ["ch20_evaluation", "ch21_finetuning"],
    "project": ["ch20_evaluation", "ch21_finetuning"],
    "ch23_fast": ["ch11_kv_cache", "ch12_batches"],
    "ch24_distributed": ["ch22_pretraining", "ch23_fast"],
}


@dataclass(frozen=True)
class Page:
    """A page as `_toc.yml` lists it.

    Attributes:
        name: such as "ch07_rope".
        title: the short one, such as "7 · Rotary positions".
        part: the caption above it, such as "Part II: speaking".
    """

    name: str
    title: str
    part: str


def read_contents() -> dict[str, Page]:
    """The pages of the book by name, in order, without the first."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return {
        (name := Path(entry["file"]).name): Page(name, entry["title"], part["caption"])
        for part in toc["parts"]
        for entry in part["chapters"]
    }
