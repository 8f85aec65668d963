"""Training: fine-tuning, LoRA adapters, files of examples, and the contrastive losses of a vision tower."""
