"""Architectures, the pretrained backbones and the recipes that train them."""
