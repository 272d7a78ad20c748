"""Trains, evaluates and serves fracture classifiers; independent of Django (`python -m ml --help`)."""

# The version of Callus. It is here because ml is the package that all others may import: the portal, the wheel and
# the cards of trained models read it.
__version__ = "0.1.0"
