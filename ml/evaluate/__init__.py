"""Metrics, the evaluation of a bundle on test images, and the comparison of two bundles."""
