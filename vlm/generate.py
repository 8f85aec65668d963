"""Turns logits into text, one token after another.

Knows nothing of what the text means. Shapes: B batch, S prompt length, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from vlm.kv_cache import KVCache
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor


def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens that together reach top_p, and share the probability among them.

    A token stays when those likelier than it do not yet reach top_p; so the likeliest always stays. With
    [0.5, 0.3, 0.2] and top_p 0.5 the first stays alone; with 0.6 the first two do.

    Args:
        probabilities: [B, V], rows sum to 1.

    Source: "The Curious Case of Neural Text Degeneration" (arXiv 1904.09751), section 3.1.
    """
    ordered, order = probabilities.sort(dim=-1, descending=True)  # [B, V]
    mass_before = ordered.cumsum(-1) - ordered  # [B, V]
    ordered = ordered.masked_fill(mass_before >= top_p, 0)
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered)  # back in the vocabulary's order
    return kept / kept.sum(-1, keepdim=True)


def choose_token(
    logits: Tensor, temperature: float = 0.0, top_p: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Logits [B, V] -> token ids [B]: the likeliest at temperature 0, else drawn at random."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    return torch.multinomial(filter_top_p(probabilities, top_p), 1, generator=generator)[:, 0]


@torch.inference_mode()
def generate_tokens(
    model: PaliGemmaForConditionalGeneration,
    inputs: dict[str, Tensor],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
) -> Iterator[Tensor]:
    """Yield the next token of every row, [B], until each row has said `<eos>` or the limit is reached.

    The picture and the prompt are read once, in one pass that fills the cache; then each step reads one
    token. A row that has ended yields the pad token from then on.

    Args:
        inputs: what the processor returns for a batch without a suffix.
        seed: makes sampling repeatable; greedy decoding needs none.

    Raises:
        ValueError: a score of the first token is NaN or infinite.
    """
    device, config = model.device, model.config
    input_ids, attention_mask = inputs["input_ids"].to(device), inputs["attention_mask"].to(device)
    batch_size, prompt_length = input_ids.shape
    kv_cache = KVCache(config.text_config, batch_size, prompt_length + max_new_tokens, model.dtype, device)
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    ended = torch.zeros(batch_size, dtype=torch.bool, device=device)
    pixel_values = inputs["pixel_values"].to(device)
    for _ in range(max_new_tokens):
        outputs = model(input_ids, pixel_values, attention_mask, kv_cache=kv_cache, logits_to_keep=1)
        if pixel_values is not None:  # a weight that is NaN shows in the first scores
            check_scores(outputs.logits, model)
        token = choose_token(outputs.logits[:, -1], temperature, top_p, generator)  # [B]
        token = token.masked_fill(ended, config.pad_token_id)
        ended |= token == config.eos_token_id
        yield token
        if ended.all():
            return
        input_ids, pixel_values = token[:, None], None  # the cache knows the picture from now on
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)  # [B, T + 1]


def generate(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    text: str | Sequence[str],
    images: Image.Image | Sequence[Image.Image],
    max_new_tokens: int = 100,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
) -> list[str]:
    """Answer one prompt for each picture, as a batch.

    Raises:
        ValueError: temperature below 0, top_p outside (0, 1], max_new_tokens below 1, or more with the prompt than
            the model was made for; or a score of the first token is NaN or infinite.
    """
    check_sampling(max_new_tokens, temperature, top_p)
    inputs = processor(text, images)
    check_length(inputs["input_ids"], max_new_tokens, model)
    steps = list(generate_tokens(model, inputs, max_new_tokens, temperature, top_p, seed))
    return [processor.decode(row) for row in torch.stack(steps, dim=1)]  # rows [B, new]


def stream(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    text: str,
    image: Image.Image,
    max_new_tokens: int = 100,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
) -> Iterator[str]:
    """Answer one prompt piece by piece, as its tokens arrive. The pieces joined are what `generate` returns."""
    check_sampling(max_new_tokens, temperature, top_p)
    inputs = processor(text, image)
    check_length(inputs["input_ids"], max_new_tokens, model)
    ids, shown = [], ""
    for token in generate_tokens(model, inputs, max_new_tokens, temperature, top_p, seed):
        ids.append(int(token))
        decoded = processor.decode(ids)
        if not decoded.endswith("\ufffd"):  # half of a character: its other bytes are still to come
            yield decoded[len(shown) :]
            shown = decoded
    yield processor.decode(ids)[len(shown) :]


def check_sampling(max_new_tokens: int, temperature: float, top_p: float):
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}: expected at least 1")
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}: expected 0 (greedy) or more")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}: expected more than 0, and 1 at most")


def check_length(input_ids: Tensor, max_new_tokens: int, model: PaliGemmaForConditionalGeneration):
    """Nothing breaks beyond the longest sequence: the model has never seen such positions, and memory runs out."""
    prompt_length, longest = input_ids.shape[1], model.config.text_config.max_position_embeddings
    if prompt_length + max_new_tokens > longest:
        raise ValueError(
            f"the prompt has {prompt_length} tokens with its picture, and max_new_tokens is {max_new_tokens}: together "
            f"expected {longest} at most (max_position_embeddings of the model): shorten the prompt or ask for less"
        )


def check_scores(logits: Tensor, model: PaliGemmaForConditionalGeneration):
    """Of scores that are NaN none is the likeliest, and yet `argmax` names one. Looking at all weights before would
    read a checkpoint from end to end that is otherwise only mapped, so they are looked at when it is too late."""
    if logits.isfinite().all():
        return
    broken = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
    if broken is not None:
        raise ValueError(
            f"{broken} holds NaN or infinity in {model.dtype}: copy or download the checkpoint again; if it was cast "
            "to float16, whose largest number is 65504, take bfloat16"
        )
    raise ValueError(
        f"the next token has scores that are NaN or infinite in {model.dtype}: in float16 take bfloat16 or float32; "
        "with packed or int8 weights ask the plain model, which names a broken weight"
    )
