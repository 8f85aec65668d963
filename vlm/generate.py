"""Turns logits into text, one token at a time.

Shapes: B batch, S prompt length, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor

from vlm.kv_cache import KVCache
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor


def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens that together reach top_p, and renormalize.

    A token is kept if the tokens more likely than it do not yet reach top_p, so the most likely token is always
    kept. With [0.5, 0.3, 0.2] and top_p 0.5 only the first is kept; with 0.6 the first two are.

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
    """Logits [B, V] -> tokens [B]: the most likely at temperature 0, else sampled."""
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
    """Yield one token for each row, [B], until all rows have ended or hit the limit.

    Prefill runs image and prompt through the model once and fills the cache; then each decode step runs one
    token. A row that has ended yields the pad token from then on.

    Args:
        inputs: what the processor returns for a batch without a suffix.
        seed: makes sampling reproducible; greedy decoding needs none.

    Raises:
        ValueError: a logit of the first token is NaN or infinite.
    """
    device, config = model.device, model.config
    input_ids, attention_mask = inputs["input_ids"].to(device), inputs["attention_mask"].to(device)
    batch_size, prompt_length = input_ids.shape
    kv_cache = KVCache(config.text_config, batch_size, prompt_length + max_new_tokens, model.dtype, device)
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    eos_token_ids = torch.tensor(config.eos_token_id, device=device)  # one or several
    ended = torch.zeros(batch_size, dtype=torch.bool, device=device)
    pixel_values = inputs["pixel_values"].to(device)
    for _ in range(max_new_tokens):
        outputs = model(input_ids, pixel_values, attention_mask, kv_cache=kv_cache, logits_to_keep=1)
        if pixel_values is not None:  # a NaN weight shows in the first logits
            check_scores(outputs.logits, model)
        token = choose_token(outputs.logits[:, -1], temperature, top_p, generator)  # [B]
        token = token.masked_fill(ended, config.pad_token_id)
        ended |= torch.isin(token, eos_token_ids)
        yield token
        if ended.all():
            return
        input_ids, pixel_values = token[:, None], None  # the image is in the cache from now on
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
    """Answer one prompt for each image, as a batch.

    Raises:
        ValueError: an option is out of range (see `check_sampling`), prompt and answer together are too long for the
            model, or a logit of the first token is NaN or infinite.
    """
    check_sampling(max_new_tokens, temperature, top_p, seed)
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
    """Answer one prompt piece by piece, as its tokens arrive. Joined, the pieces are what `generate` returns."""
    check_sampling(max_new_tokens, temperature, top_p, seed)
    inputs = processor(text, image)
    check_length(inputs["input_ids"], max_new_tokens, model)
    ids, shown = [], ""
    for token in generate_tokens(model, inputs, max_new_tokens, temperature, top_p, seed):
        ids.append(int(token))
        decoded = processor.decode(ids)
        if not decoded.endswith("\ufffd"):  # part of a character: its other bytes are still to come
            yield decoded[len(shown) :]
            shown = decoded
    yield processor.decode(ids)[len(shown) :]


def check_sampling(max_new_tokens: int, temperature: float, top_p: float, seed: int | None = None):
    """Raise a ValueError for an option out of its range; NaN is out of every range."""
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}: expected at least 1")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}: expected 0 (greedy) or a finite number above 0")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}: expected more than 0 and at most 1")
    if seed is not None and not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}: expected 0 to 2**64 - 1")


def check_length(input_ids: Tensor, max_new_tokens: int, model: PaliGemmaForConditionalGeneration):
    """Raise a ValueError for more tokens than the model supports: beyond that, answers silently get worse."""
    prompt_length, longest = input_ids.shape[1], model.config.text_config.max_position_embeddings
    if prompt_length + max_new_tokens > longest:
        raise ValueError(
            f"the prompt has {prompt_length} tokens with its image, and max_new_tokens is {max_new_tokens}: expected "
            f"at most {longest} together (max_position_embeddings): shorten the prompt or ask for fewer tokens"
        )


def check_scores(logits: Tensor, model: PaliGemmaForConditionalGeneration):
    """Raise a ValueError for NaN or infinite logits: `argmax` silently returns an index for NaN.

    Checking all weights in advance would read a whole checkpoint that is otherwise only mapped into memory, so we look
    for the broken weight only now."""
    if logits.isfinite().all():
        return
    broken = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
    if broken is not None:
        raise ValueError(
            f"{broken} contains NaN or infinity in {model.dtype}: copy or download the checkpoint again; if it was "
            "cast to float16, whose largest number is 65504, use bfloat16"
        )
    raise ValueError(
        f"the next token has logits that are NaN or infinite in {model.dtype}: instead of float16 use bfloat16 or "
        "float32; with packed or int8 weights run the plain model, which reports the broken weight"
    )
