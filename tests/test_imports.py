"""Imports point one way: each room and each file of the core imports only what comes before it in this list."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = """
vlm.commands.ctrl_c
vlm.config vlm.attention vlm.attention_mask vlm.kv_cache vlm.siglip vlm.gemma vlm.gemma2 vlm.paligemma
vlm.image_processing vlm.processor vlm.generate vlm.checkpoints vlm.loader
vlm.regions vlm.inside vlm.metrics vlm.training vlm.parallel vlm.fast vlm vlm.commands vlm.__main__
figures toybox benchmark grader live
"""
ORDER = ROOMS.split()


def room(module: str) -> str:
    """The longest name of the list that the module's name begins with: a file of the core, or a folder."""
    return max((name for name in ORDER if f"{module}.".startswith(f"{name}.")), key=len, default="")


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return modules | {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}


def test_every_import_points_down():
    for path in [
        path
        for folder in ("vlm", "figures", "toybox", "benchmark", "grader", "live")
        for path in (ROOT / folder).rglob("*.py")
    ]:
        own = room(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        above = {name for name in map(room, imports(path)) if name and ORDER.index(name) > ORDER.index(own)}
        assert not above, f"{path.relative_to(ROOT)} imports from {above}"


def test_the_top_of_the_package_is_the_model_and_nothing_else():
    core = {name.removeprefix("vlm.") for name in ORDER if name.startswith("vlm.")}
    assert {path.stem for path in (ROOT / "vlm").glob("*.py")} == {
        name for name in core if (ROOT / "vlm" / f"{name}.py").is_file()
    } | {"__init__"}


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
