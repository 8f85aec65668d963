"""Looks inside a running model: attention maps, rollout, the logit lens, occlusion, and probabilities of answers."""
