"""The sizes that define a PaliGemma, read from a published `config.json`."""

import json
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import ClassVar, get_args

ACTIVATION = "gelu_pytorch_tanh"
# Far beyond every published model. A larger number is a mistake, and would exhaust memory or time.
LARGEST_NUMBER, MOST_LAYERS = 10**9, 1000


@dataclass(frozen=True)
class SiglipVisionConfig:
    """Shape of the vision tower (SigLIP, arXiv 2303.15343; So400m in the published models)."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    patch_size: int = 14
    image_size: int = 224
    num_channels: int = 3
    layer_norm_eps: float = 1e-6

    def __post_init__(self):
        check_positive(self, "vision_config")
        check_divides("vision_config", self, "num_attention_heads", "hidden_size")
        check_divides("vision_config", self, "patch_size", "image_size")

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def num_image_tokens(self) -> int:
        """One token for each patch: N = (image_size / patch_size) squared."""
        return (self.image_size // self.patch_size) ** 2

    @classmethod
    def from_dict(cls, values: dict) -> "SiglipVisionConfig":
        check_choice("vision_config.model_type", values.get("model_type", "siglip_vision_model"), "siglip_vision_model")
        check_choice("vision_config.hidden_act", values.get("hidden_act", ACTIVATION), ACTIVATION)
        values = {"patch_size": 16} | values  # SigLIP's default in transformers, if the file omits it
        return cls(**pick_fields(cls, values, "vision_config"))


@dataclass(frozen=True)
class GemmaConfig:
    """Shape of the language model (Gemma, arXiv 2403.08295, Table 1)."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    head_dim: int = 256
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    max_position_embeddings: int = 8192

    model_type: ClassVar[str] = "gemma"

    def __post_init__(self):
        check_positive(self, "text_config")
        check_divides("text_config", self, "num_key_value_heads", "num_attention_heads")
        if self.head_dim % 2:
            raise ValueError(f"text_config.head_dim is {self.head_dim}: it must be even, for RoPE")

    @classmethod
    def from_dict(cls, values: dict) -> "GemmaConfig":
        check_choice("text_config.model_type", values.get("model_type", "gemma"), cls.model_type)
        check_choice("text_config.attention_bias", values.get("attention_bias", False), False)
        activation = values.get("hidden_activation") or values.get("hidden_act", ACTIVATION)
        # In files of the first Gemma, "gelu" means the tanh approximation; in Gemma 2's it is the exact GELU.
        also = ("gelu",) if cls.model_type == "gemma" else ()
        check_choice("text_config.hidden_activation", activation, ACTIVATION, *also)
        check_choice("text_config.rope_scaling", values.get("rope_scaling"), None)
        rope = values.get("rope_parameters") or {}  # newer files keep rope_theta here
        if not isinstance(rope, dict):
            raise ValueError(
                f"text_config.rope_parameters is {rope!r}: expected an object, such as {{'rope_theta': 1e4}}"
            )
        check_choice("text_config.rope_parameters.rope_type", rope.get("rope_type", "default"), "default")
        if "rope_theta" in rope:
            values = values | {"rope_theta": rope["rope_theta"]}
        return cls(**pick_fields(cls, values, "text_config"))

    def to_dict(self) -> dict:
        return vars(self) | {"model_type": self.model_type, "hidden_activation": ACTIVATION}


@dataclass(frozen=True)
class Gemma2Config(GemmaConfig):
    """Shape of PaliGemma 2's language model (Gemma 2, arXiv 2408.00118, Table 1).

    The defaults are those of Gemma 2 2B, the language model of PaliGemma 2 3B. A file may set a soft-cap or the window
    to null, which turns it off.
    """

    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    vocab_size: int = 256000
    query_pre_attn_scalar: float = 256  # scores are divided by its square root; in the 28B it differs from head_dim
    attn_logit_softcapping: float | None = 50.0
    final_logit_softcapping: float | None = 30.0
    sliding_window: int | None = 4096

    model_type: ClassVar[str] = "gemma2"

    def is_sliding(self, layer_idx: int) -> bool:
        """Every other layer attends only within the window, starting with layer 0."""
        return self.sliding_window is not None and layer_idx % 2 == 0

    @classmethod
    def from_dict(cls, values: dict) -> "Gemma2Config":
        config = super().from_dict(values)
        alternating = [("sliding_attention", "full_attention")[i % 2] for i in range(config.num_hidden_layers)]
        check_choice("text_config.layer_types", values.get("layer_types") or alternating, alternating)
        return config


@dataclass(frozen=True)
class PaliGemmaConfig:
    """A vision tower, a language model, and the token that reserves the positions of the image.

    PaliGemma uses Gemma, PaliGemma 2 (arXiv 2412.03555) Gemma 2; the rest is the same. Two leftovers in published
    files of PaliGemma 2 are ignored: a top-level `hidden_size`, which is not that of its language model, and
    `text_config.eos_token_id`, [1, 107], which is that of the chat model Gemma 2 IT: PaliGemma was not trained to end
    an answer with 107, `<end_of_turn>`.

    Args:
        eos_token_id: generation ends at this token, or at any of several.
    """

    vision_config: SiglipVisionConfig
    text_config: GemmaConfig
    image_token_index: int
    pad_token_id: int = 0
    eos_token_id: int | tuple[int, ...] = 1
    bos_token_id: int = 2

    def __post_init__(self):
        check_token_id("image_token_index", self.image_token_index)
        if self.image_token_index >= self.text_config.vocab_size:
            raise ValueError(
                f"image_token_index is {self.image_token_index}, but text_config.vocab_size is "
                f"{self.text_config.vocab_size}: the image token needs a row in the embedding"
            )

    @classmethod
    def from_dict(cls, values: dict) -> "PaliGemmaConfig":
        check_choice("model_type", values.get("model_type", "paligemma"), "paligemma")
        for part in ("vision_config", "text_config"):
            if not isinstance(values.get(part), dict):
                raise ValueError(f"config has no '{part}': is this the config.json of a PaliGemma?")
        text = values["text_config"]
        text_class = Gemma2Config if text.get("model_type") == Gemma2Config.model_type else GemmaConfig
        values = values | {
            "vision_config": SiglipVisionConfig.from_dict(values["vision_config"]),
            "text_config": text_class.from_dict(text),
            "image_token_index": values.get("image_token_index", values.get("image_token_id")),
        }
        picked = pick_fields(cls, values, "config")
        for name in ("pad_token_id", "bos_token_id"):
            check_token_id(name, picked.get(name, getattr(cls, name)))
        return cls(**picked | {"eos_token_id": read_eos(picked.get("eos_token_id", cls.eos_token_id))})

    @classmethod
    def from_json(cls, path: str | Path) -> "PaliGemmaConfig":
        values = read_object(path)
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def to_dict(self) -> dict:
        """The config as a dictionary with the keys of a published `config.json`."""
        vision, text = self.vision_config, self.text_config
        shared = {"num_image_tokens": vision.num_image_tokens, "projection_dim": text.hidden_size}
        return {
            "architectures": ["PaliGemmaForConditionalGeneration"],
            "model_type": "paligemma",
            "image_token_index": self.image_token_index,
            "pad_token_id": self.pad_token_id,
            "eos_token_id": self.eos_token_id,
            "bos_token_id": self.bos_token_id,
            "hidden_size": text.hidden_size,
            "projection_dim": text.hidden_size,
            "tie_word_embeddings": True,
            "vision_config": vars(vision)
            | shared
            | {"model_type": "siglip_vision_model", "hidden_act": ACTIVATION, "vision_use_head": False},
            "text_config": text.to_dict(),
        }


def read_object(path: str | Path) -> dict:
    """The JSON object in a file."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep, thousands of digits
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} contains a {type(values).__name__}: expected a JSON object")
    return values


def pick_fields(config_class: type, values: dict, where: str) -> dict:
    """Keep the fields that the config class has; raise a ValueError for required fields that are missing."""
    known = fields(config_class)
    picked = {
        field.name: values[field.name]
        for field in known
        if field.name in values and (values[field.name] is not None or may_be_none(field))
    }
    missing = [field.name for field in known if field.name not in picked and field.default is MISSING]
    if missing:
        raise ValueError(f"{where} is missing {', '.join(missing)}")
    return picked


def may_be_none(field: Field) -> bool:
    return type(None) in get_args(field.type)


def check_positive(config, where: str):
    for field in fields(config):
        value = getattr(config, field.name)
        if value is None and may_be_none(field):
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and value > 0):
            raise ValueError(f"{where}.{field.name} is {value!r}: expected a number above 0")
        if int in (field.type, *get_args(field.type)) and not isinstance(value, int):
            raise ValueError(f"{where}.{field.name} is {value!r}: expected a whole number")
        largest = MOST_LAYERS if field.name == "num_hidden_layers" else LARGEST_NUMBER
        if value > largest:
            raise ValueError(f"{where}.{field.name} is {value!r}: expected at most {largest:,}")


def check_divides(where: str, config, divisor: str, dividend: str):
    small, large = getattr(config, divisor), getattr(config, dividend)
    if large % small:
        raise ValueError(f"{where}.{dividend} is {large}: it must be a multiple of {divisor}, which is {small}")


def check_token_id(name: str, value):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_NUMBER:
        raise ValueError(f"{name} is {value!r}: expected a token id, 0 or more")


def read_eos(value) -> int | tuple[int, ...]:
    """`eos_token_id` as files write it: an id, or a list of ids."""
    ids = tuple(value) if isinstance(value, (list, tuple)) and value else (value,)
    for token_id in ids:
        check_token_id("eos_token_id", token_id)
    return ids[0] if len(ids) == 1 else ids


def check_choice(name: str, value, *allowed):
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: expected {' or '.join(map(repr, allowed))}")
