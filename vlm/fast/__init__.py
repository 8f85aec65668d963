"""The same model, arranged for speed. The readable one remains the reference, and its numbers must be the same."""
