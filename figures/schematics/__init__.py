"""The schematics of the book, each drawn from the model's config: what they say of shapes is what the model has."""
