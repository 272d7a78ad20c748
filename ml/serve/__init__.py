"""Bundles, and everything that a prediction needs: preprocessing, inference, calibration."""
