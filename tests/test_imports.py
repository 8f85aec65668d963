"""One direction: what is below never imports what is above, and importing the package stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each file may import from the lines above its own, never from its own line or below.
STOREYS = [
    {"config", "boxes", "layouts", "devices", "hub"},
    {"published", "checkpoint", "attention", "kv_cache", "masks", "image_processing", "mask_vqvae"},
    {"siglip", "gemma", "segmentation", "shards", "metrics"},
    {"gemma2", "contrastive", "lora"},
    {"paligemma"},
    {"processor", "loader"},
    {"generate", "recording", "scoring", "finetune", "fast", "parallel"},
    {"draw", "filmstrip", "inside", "training_examples"},
    {"convert", "random_checkpoint"},
    {"commands", "demo", "bench", "__main__"},
]
TOYBOX_STOREYS = [
    {"sprites"},
    {"scenes"},
    {"prompts", "examples", "recipe"},
    {"tokenizer", "batches"},
    {"losses"},
    {"train", "train_masks", "evaluate"},
]


# Within a package: the same, from below.
PACKAGES = {
    "fast": [{"linear", "siglip"}, {"gemma"}, {"paligemma"}],
    "parallel": [{"processes"}, {"gradients", "traffic", "tensor_parallel"}],
    "bench": [{"models"}, {"limit", "sides", "report"}, {"worker"}, {"__main__"}],
}
TOP = {"commands.options": 200, "commands": 202, "__main__": 203, "parallel.answer": 203}


def storey(module: str) -> float:
    """How high a module stands: the model's core, then the Toybox, then what uses both."""
    parts = module.split(".")[1:]
    path = ".".join(parts)
    if path in TOP:
        return TOP[path]
    if parts[:1] == ["toybox"]:
        name = parts[1] if len(parts) > 1 else ""
        return 100 + next((i for i, names in enumerate(TOYBOX_STOREYS) if name in names), -1)
    height = next(i for i, names in enumerate(STOREYS) if parts[0] in names)
    height = height if height < len(STOREYS) - 1 else 201
    inside = PACKAGES.get(parts[0], [])
    return height + 0.1 * next((i for i, names in enumerate(inside) if parts[-1] in names), 0)


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vlm"):
            modules.add(node.module)
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.startswith("vlm")}
    return modules


FILES = [path for path in sorted((ROOT / "vlm").rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_only_from_below(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for other in imported_modules(path):
        assert storey(other) < storey(module), f"{module} imports {other}"


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_importing_the_package_loads_neither_transformers_nor_matplotlib():
    loaded = run_python(
        "import vlm, sys; print([name for name in sys.modules if name in ('transformers', 'matplotlib')])"
    )
    assert loaded == "[]"


def test_importing_the_package_costs_no_more_than_torch_and_a_little():
    code = "import time; import {}; print(time.process_time())"  # not the clock's time: others may use the machine
    torch_seconds, vlm_seconds = (
        min(float(run_python(code.format(name))) for _ in range(3)) for name in ("torch", "vlm")
    )
    assert vlm_seconds <= torch_seconds + 0.3
