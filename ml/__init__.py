"""The classifier: X-rays in, kinds of fracture out. Knows no Django; `python -m ml --help` works alone."""
