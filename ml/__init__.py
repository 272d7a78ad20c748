"""Trains, evaluates and serves fracture classifiers; independent of Django (`python -m ml --help`)."""
