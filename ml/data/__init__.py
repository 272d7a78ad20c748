"""Images, DICOM files, manifests, audits, duplicates, groups and splits of data sets."""
