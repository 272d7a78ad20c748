"""The portal as its developers run it: `make dev`. Not part of the package."""
