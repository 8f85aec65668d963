"""How right answers are: boxes, masks, words; and how sure one can be of such a number."""
