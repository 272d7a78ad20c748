"""Images, DICOM files, manifests, audits, near-copies, groups and splits."""
