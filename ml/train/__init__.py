"""Input pipeline, augmentation, fitting, cross-validation and the release of a bundle."""
