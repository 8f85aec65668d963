"""Times this package beside transformers: `python -m vlm.bench`."""
