"""PaliGemma from scratch: the code that the book builds."""

import vlm.commands.ctrl_c  # noqa: F401 (before torch, so that Ctrl-C ends a program that is still importing it)
from vlm.config import GemmaConfig, PaliGemmaConfig, SiglipVisionConfig
from vlm.generate import generate, stream
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model, save_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import Detection, format_detections, parse_detections
from vlm.regions.mask_vqvae import load_mask_decoder
from vlm.regions.segmentation import decode_masks

__all__ = [
    "Detection",
    "GemmaConfig",
    "KVCache",
    "PaliGemmaConfig",
    "PaliGemmaForConditionalGeneration",
    "PaliGemmaProcessor",
    "SiglipVisionConfig",
    "decode_masks",
    "format_detections",
    "generate",
    "load_hf_model",
    "load_mask_decoder",
    "parse_detections",
    "save_hf_model",
    "stream",
]
