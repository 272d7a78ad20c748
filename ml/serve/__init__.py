"""Bundles, preprocessing, inference, calibration and out-of-distribution detection."""
