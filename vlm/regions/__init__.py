"""Regions of an image: boxes and masks, as text, as numbers and as drawings."""
