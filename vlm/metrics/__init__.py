"""Metrics of answers, boxes and masks; confidence intervals and calibration."""
