"""Network architectures, pretrained backbones and training recipes."""
