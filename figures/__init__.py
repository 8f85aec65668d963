"""The book's figures: schematics, and images with sliders that work without Python."""
