"""The same model, arranged for speed. The readable one beside it stays the reference, and every number must agree."""
