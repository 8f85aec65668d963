"""Figures of the book that readers can operate without Python."""
