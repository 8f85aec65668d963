"""The field's words for a topic find the chapter about it first, with Sphinx's own search over the built pages."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

QUERIES = {
    "ch02": "patch embedding, patches, image to patches",
    "ch03": "self-attention, multi-head attention, scaled dot-product attention, residual connection, LayerNorm, GELU,"
    " nonlinearity, vision encoder",
    "ch04": "contrastive learning, CLIP, sigmoid loss, zero-shot classification, cosine similarity",
    "ch05": "tokenizer, byte-pair encoding, BPE, image normalization",
    "ch06": "RMSNorm, residual stream, GeGLU, gated MLP",
    "ch07": "RoPE, rotary position embedding, rotary",
    "ch08": "grouped-query attention, multi-query attention, GQA, additive attention mask",
    "ch09": "image tokens, prefix-LM mask, attention mask, projector, embedding scale",
    "ch10": "softmax temperature, nucleus sampling, top-p, greedy decoding, entropy, sampling",
    "ch11": "KV cache, prefill, decode",
    "ch12": "left padding, position ids, batched generation, throughput",
    "ch13": "safetensors, loading a checkpoint",
    "ch15": "soft-capping, sliding window, PaliGemma 2, Gemma 2",
    "ch16": "memory-bound, bfloat16, license",
    "ch17": "object detection, location tokens, average precision, IoU",
    "ch18": "segmentation masks, VQ-VAE, codebook collapse, straight-through gradient",
    "ch19": "logit lens, attention rollout, occlusion, attention maps",
    "ch20": "calibration, confidence interval, evaluating",
    "ch21": "LoRA, LoRA rank, fine-tuning, adapter",
    "ch22": "pretraining, Muon, learning-rate schedule, ablations, soft targets",
    "ch23": "torch.compile, quantization, int8, flash attention, speculative decoding",
    "ch24": "tensor parallelism, column-parallel, all-reduce, FSDP, data parallelism",
}
PAIRS = [(query.strip(), chapter) for chapter, queries in QUERIES.items() for query in queries.split(",")]


@pytest.fixture(scope="module")
def results(site) -> dict[str, list[list[str]]]:
    if shutil.which("node") is None:
        pytest.skip("NO NODE: the search of the pages is JavaScript")
    script = Path(__file__).with_name("search.mjs")
    command = ["node", str(script), str(site), *(query for query, _ in PAIRS)]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return dict(zip((query for query, _ in PAIRS), json.loads(output), strict=True))


def test_there_are_many_queries():
    assert len(PAIRS) >= 60
    assert len(dict(PAIRS)) == len(PAIRS)


@pytest.mark.parametrize(("query", "chapter"), PAIRS)
def test_a_term_finds_its_chapter_first(results, query, chapter):
    assert results[query], f"nothing found for {query!r}"
    pages = [page.removeprefix("book/") for page, _ in results[query]]
    assert pages[0].startswith(chapter), f"{query!r} finds {results[query][:3]}"
