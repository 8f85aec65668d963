"""Times this package beside transformers: `python -m benchmark`."""
