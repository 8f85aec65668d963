"""What the schematics say of shapes is what the models have: each number is compared with a tensor that was made."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from figures.drawing import Drawing
from figures.schematics.attention_steps import draw_attention_steps
from figures.schematics.block import draw_block
from figures.schematics.cache_steps import draw_cache_steps
from figures.schematics.contrastive import draw_contrastive
from figures.schematics.gemma2_diff import draw_gemma2_diff
from figures.schematics.head_sharing import draw_head_sharing
from figures.schematics.heads import draw_heads
from figures.schematics.lora import draw_lora
from figures.schematics.mask_vqvae import draw_mask_vqvae
from figures.schematics.merge import draw_merge
from figures.schematics.padding import draw_padding
from figures.schematics.parallel import draw_ring, draw_tensor_parallel
from figures.schematics.patchify import draw_patchify
from figures.schematics.roofline import draw_roofline
from figures.schematics.rotation import draw_rotation
from figures.schematics.stages import draw_stages
from figures.schematics.taps import draw_taps
from figures.schematics.whole_model import draw_whole_model
from toybox import CHECKPOINT_DIRECTORY, MASK_VQVAE_FILE
from toybox.examples import example_image
from toybox.recipe import Recipe
from vlm.attention import attention
from vlm.attention_mask import make_position_ids
from vlm.checkpoints.published import published_config
from vlm.gemma import repeat_kv
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder
from vlm.training.lora import LoraConfig, add_lora

PROMPT = "detect cat"


def texts(drawing: Drawing) -> list[str]:
    svg = ET.fromstring(drawing.svg.as_svg(header=""))
    return [element.text for element in svg.iter() if element.tag.endswith("}text")]


def numbers_in(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


@contextmanager
def shapes_of(*modules: nn.Module) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of what the modules return, in the order in which they run, without the batch."""
    shapes: list[tuple[int, ...]] = []

    def keep(module: nn.Module, arguments: tuple, output: Tensor | tuple):
        tensor = output if isinstance(output, Tensor) else output[0]
        shapes.append(tuple(tensor.shape[1:]))

    hooks = [module.register_forward_hook(keep) for module in modules]
    yield shapes
    for hook in hooks:
        hook.remove()


@pytest.fixture(scope="module")
def loaded() -> tuple[PaliGemmaForConditionalGeneration, PaliGemmaProcessor]:
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


@pytest.fixture(scope="module")
def published():
    return published_config("paligemma-3b-224")


def run(loaded) -> dict[str, Tensor]:
    model, processor = loaded
    inputs = processor([PROMPT], [example_image(0)])
    with torch.no_grad():
        model(**inputs)
    return inputs


def test_the_whole_model_has_the_shapes_of_a_forward_pass(loaded, published):
    model, _ = loaded
    tower, gemma = model.vision_tower, model.language_model
    steps = (tower.vision_model.embeddings, tower, model.multi_modal_projector, gemma.model)
    with shapes_of(*steps) as shapes:
        inputs = run(loaded)
    length = inputs["input_ids"].shape[1]
    num_image_tokens = model.config.vision_config.num_image_tokens
    found = [
        text.split(" | ")[0] for text in texts(draw_whole_model(model.config, published, length - num_image_tokens))
    ]
    found = [tuple(numbers_in(text)) for text in found if re.fullmatch(r"[\d, ]+", text)]
    assert found[0] == tuple(inputs["pixel_values"].shape[1:])
    assert found[1:4] == shapes[:3]
    assert found[4] == (length - num_image_tokens, model.config.text_config.hidden_size)
    assert found[5] == found[6] == shapes[3] == (length, model.config.text_config.hidden_size)
    assert found[7] == (length, gemma.lm_head.weight.shape[0])


def test_the_whole_model_has_the_published_numbers_too(loaded, published):
    found = texts(draw_whole_model(loaded[0].config, published))
    assert "vision tower, 4 | 27 layers" in found and "Gemma, 4 | 18 layers" in found
    assert "V = 1,921 | V = 257,216" in found or any("V = 257,216" in text for text in found)
    assert "64, 192 | 256, 1152" in found and "64, 128 | 256, 2048" in found


def test_patches_are_those_of_the_embedding(loaded):
    model, _ = loaded
    embeddings = model.vision_tower.vision_model.embeddings
    sizes = dict(
        text.split("=") for text in texts(draw_patchify(model.config.vision_config)) if re.fullmatch(r"\S+=\d+", text)
    )
    assert int(sizes["C·P·P'"]) == embeddings.patch_embedding.weight[0].numel()
    assert int(sizes["D"]) == embeddings.patch_embedding.weight.shape[0]
    assert int(sizes["N"]) == embeddings.position_embedding.weight.shape[0] == int(sizes["H/P"]) * int(sizes["W/P"])
    assert int(sizes["H"]) == int(sizes["H/P"]) * int(sizes["P"])


def test_the_small_image_is_cut_as_unfold_cuts_it(loaded):
    pixels = torch.arange(24.0).reshape(1, 1, 4, 6)
    patches = nn.functional.unfold(pixels, 2, stride=2)[0].T.int().flatten().tolist()
    found = [int(text) for text in texts(draw_patchify(loaded[0].config.vision_config)) if text.isdigit()]
    assert found == [*range(24), *patches]


def test_the_attention_steps_are_those_of_attention():
    query, keys, values = [1.0, 2.0], [[2.0, 1.0], [0.0, 1.0], [-1.0, 0.0]], [[4.0, 0.0], [0.0, 4.0], [2.0, 2.0]]
    output, weights = attention(*(torch.tensor(rows)[None, None] for rows in ([query], keys, values)), scaling=2**-0.5)
    found = texts(draw_attention_steps(query, keys, values))
    assert [text for text in found if re.fullmatch(r"0\.\d\d", text)] == [
        f"{weight:.2f}" for weight in weights.flatten().tolist()
    ]
    assert [
        float(number) for number in re.findall(r"[\d.]+", found[found.index("output: their sum") - 1])
    ] == pytest.approx(output.flatten().tolist(), abs=0.006)


def test_the_blocks_have_the_sizes_of_their_layers(loaded):
    model, _ = loaded
    for config, mlp, heads in (
        (model.config.vision_config, model.vision_tower.vision_model.encoder.layers[0].mlp.fc1, 6),
        (model.config.text_config, model.language_model.model.layers[0].mlp.gate_proj, 4),
    ):
        found = texts(draw_block(config))
        [sizes] = [numbers_in(text) for text in found if "MLP" in text]
        assert sizes == [mlp.in_features, mlp.out_features, mlp.in_features]
        assert f"attention, {heads} heads" in found and config.num_attention_heads == heads


def test_heads_are_split_and_joined_as_in_the_drawing(loaded):
    config = loaded[0].config.vision_config
    found = [tuple(numbers_in(text.split("= ")[1])) for text in texts(draw_heads(config)) if "=" in text]
    vectors = torch.zeros(1, config.num_image_tokens, config.hidden_size)
    split = vectors.view(1, config.num_image_tokens, config.num_attention_heads, config.head_dim)
    apart = split.transpose(1, 2)
    expected = [vectors, split, apart, apart, apart.transpose(1, 2), apart.transpose(1, 2).flatten(2)]
    assert found == [tuple(tensor.shape[1:]) for tensor in expected]


def test_contrastive_cells_are_counted():
    found = texts(draw_contrastive(3))
    assert "B · B sigmoids: 3 yes, 6 no" in found
    assert (found.count("+"), found.count("-")) == (3, 6)


def test_the_angle_between_rotated_vectors_stays():
    found = texts(draw_rotation((5, 2), 4, 20.0))
    assert [text for text in found if text.startswith("between")] == ["between them: 3ω = 60°"] * 2
    assert "q rotated by 9ω, k by 6ω" in found


@pytest.mark.parametrize("num_key_value_heads", [1, 2, 4, 8])
def test_lines_join_the_heads_that_repeat_kv_joins(num_key_value_heads):
    drawing = draw_head_sharing(8, {"one": num_key_value_heads})
    svg = ET.fromstring(drawing.svg.as_svg(header=""))
    boxes = {
        element.text: float(element.get("x")) for element in svg.iter() if re.fullmatch(r"[qk]\d", element.text or "")
    }
    lines = [re.findall(r"[\d.]+", element.get("d")) for element in svg.iter() if element.tag.endswith("}path")]
    found = {round(float(line[0])): float(line[2]) for line in lines}
    heads = torch.arange(float(num_key_value_heads)).view(1, -1, 1, 1)
    for query, head in enumerate(repeat_kv(heads, 8 // num_key_value_heads).flatten().int().tolist()):
        assert found[round(boxes[f"q{query}"])] == pytest.approx(boxes[f"k{head}"], abs=0.1)


def test_the_merged_sequence_is_as_long_as_the_inputs(loaded):
    model, processor = loaded
    inputs = processor([PROMPT], [example_image(0)])
    words = processor.tokenizer.convert_ids_to_tokens(
        inputs["input_ids"][0, model.config.vision_config.num_image_tokens :]
    )
    found = texts(draw_merge(model.config, words))
    assert f"[B, N + T] = [B, {inputs['input_ids'].shape[1]}]" in found
    with shapes_of(model.language_model.model) as shapes:
        run(loaded)
    assert f"[B, N + T, D] = [B, {', '.join(map(str, shapes[0]))}]" in found


def test_cache_steps_count_queries_and_keys(loaded):
    config = loaded[0].config
    cache = KVCache(config.text_config, 1, 80)
    found = texts(draw_cache_steps(config, prompt_length=4))
    assert found[1] == "68 queries, 68 keys"
    assert [text for text in found if text.startswith("1 query")] == [
        "1 query, 69 keys",
        "1 query, 70 keys",
        "1 query, 71 keys",
    ]
    K, E = cache.keys[0].shape[1], cache.keys[0].shape[3]
    assert f"read from the cache, [B, {K}, T, {E}] in each layer" in found


def test_padding_gives_the_position_ids_of_the_model():
    prompts = [["a", "b", "c"], ["d", "e"]]
    found = texts(draw_padding(prompts))
    ids = [text for text in found if re.fullmatch(r"\d|-", text)]
    mask = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 0]])
    positions = make_position_ids(mask, 3)
    expected = [
        str(int(position)) if real else "-" for position, real in zip(positions.flatten(), mask.flatten(), strict=True)
    ]
    assert ids == expected
    assert [text for text in found if text.startswith("next")] == [f"next: column {c}" for c in (3, 3, 3, 2)]


def test_gemma_2_has_what_is_drawn_as_new(published):
    gemma2 = published_config("paligemma2-3b-224").text_config
    found = texts(draw_gemma2_diff(published.text_config, gemma2))
    assert "8 heads, 1 key/value" in found and "8 heads, 4 key/value" in found
    assert "cap 50, window 4,096*" in found and "cap 30" in found
    assert found.count("RMSNorm") == 2 + 4 and found.count("new") == 2
    assert [gemma2.is_sliding(layer) for layer in range(4)] == [True, False, True, False]  # "in even layers only"


def test_the_mask_vqvae_has_the_sizes_of_its_networks():
    encoder, decoder = load_mask_encoder(MASK_VQVAE_FILE), load_mask_decoder(MASK_VQVAE_FILE)
    vectors = encoder(torch.zeros(1, 64, 64))
    codes, width = decoder.codebook.shape
    found = texts(draw_mask_vqvae(64, 4, codes, width))
    assert found.count(f"[M, {vectors.shape[1]}, {vectors.shape[2]}]") == 2
    assert f"[{codes}, {width}]" in found and "16 mask tokens" in found


def test_the_taps_know_the_layers(loaded):
    found = texts(draw_taps(loaded[0].config))
    assert "vision tower, 4 layers" in found and "Gemma, 4 layers" in found


def test_lora_counts_what_it_trains(loaded):
    model, _ = load_hf_model(CHECKPOINT_DIRECTORY)
    add_lora(model, LoraConfig(rank=8))
    layer = model.language_model.model.layers[0].self_attn.q_proj
    trained = sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)
    frozen = sum(parameter.numel() for parameter in layer.parameters() if not parameter.requires_grad)
    found = texts(draw_lora(128, 128, 8))
    assert f"{frozen:,}" in found and f"{trained:,} = {trained / frozen:.1%}" in found
    assert "A [8, 128]" in found and "B [128, 8]" in found


def test_the_roofline_bends_where_memory_keeps_up():
    drawing = draw_roofline(990e12, 3.35e12, {"decode": 1, "prefill": 264})
    found = texts(drawing)
    assert "296" in found and "compute: 990 TFLOP/s" in found and "memory: 3.35 TB/s" in found
    assert "decode: 1; prefill: 264" in drawing.svg.as_svg()


@pytest.mark.parametrize("world_size", [2])
def test_tensor_parallel_parts_are_equal_and_make_the_whole(loaded, world_size):
    mlp = loaded[0].language_model.model.layers[0].mlp
    found = texts(draw_tensor_parallel(mlp.gate_proj.in_features, mlp.gate_proj.out_features, world_size))
    [columns, *_] = mlp.gate_proj.weight.chunk(world_size, dim=0)
    [rows, *_] = mlp.down_proj.weight.chunk(world_size, dim=1)
    assert found.count(str(list(columns.shape))) == found.count(str(list(rows.shape))) == world_size


def test_the_ring_says_what_each_process_sends():
    found = texts(draw_ring(4))
    assert "each process sends 2 · 3/4 of the data" in found
    assert "3 steps: reduce-scatter" in found and "3 steps: all-gather" in found


def test_the_stages_have_the_recipe_s_steps():
    recipe = Recipe()
    found = texts(draw_stages(recipe.look_steps, recipe.speak_steps, recipe.scenes_per_step))
    assert f"look: {recipe.look_steps:,} steps" in found and f"speak: {recipe.speak_steps:,} steps" in found
    assert f"{recipe.scenes_per_step} scenes a step" in found
