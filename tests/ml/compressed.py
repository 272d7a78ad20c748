"""DICOM files in every compression that Callus reads, compressed with gdcm."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gdcm

SYNTAXES = {
    "jpeg": gdcm.TransferSyntax.JPEGBaselineProcess1,
    "jpeg extended": gdcm.TransferSyntax.JPEGExtendedProcess2_4,
    "jpeg lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpeg lossless, any predictor": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "jpeg-ls": gdcm.TransferSyntax.JPEGLSLossless,
    "jpeg-ls, nearly lossless": gdcm.TransferSyntax.JPEGLSNearLossless,
    "jpeg 2000 lossless": gdcm.TransferSyntax.JPEG2000Lossless,
    "jpeg 2000": gdcm.TransferSyntax.JPEG2000,
    "run lengths": gdcm.TransferSyntax.RLELossless,
}


def compress(dicom: bytes, syntax: str) -> bytes:
    """Returns the DICOM file with its pixels compressed in one of SYNTAXES."""
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder, "plain.dcm"), Path(folder, "small.dcm")
        plain.write_bytes(dicom)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(SYNTAXES[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change(), syntax
        writer.SetFileName(str(small))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return small.read_bytes()
