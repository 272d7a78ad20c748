"""Maps the stored values of greyscale DICOM images to grey levels (PS3.3 C.11, PS3.4 N.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.data.dicom_attributes import Attributes
from ml.data.lookup_tables import ROWS_PER_BLOCK, apply_lookup_table

Values = NDArray[np.float64]
# Entries that use less than a quarter of their declared range have fewer bits than declared, as in Agfa's tables of
# 12 bits that are declared as 16. A table for display uses most of its range.
MAX_UNUSED_BITS = 1
MIN_ENTRY_BITS = 8


@dataclass(frozen=True)
class SampleFormat:
    """How samples are stored in words (PS3.5 8.1.1).

    Attributes:
        bits_allocated: Bits of a word, 8 or 16.
        bits_stored: Bits of a sample.
        shift: Number of bits below the sample.
        is_signed: Whether samples are in two's complement.
    """

    bits_allocated: int
    bits_stored: int
    shift: int
    is_signed: bool

    def stored_values(self) -> NDArray[np.int64]:
        """Returns the sample in each possible word."""
        samples = (np.arange(2**self.bits_allocated) >> self.shift) & (2**self.bits_stored - 1)
        return _signed(samples, self.bits_stored) if self.is_signed else samples

    def word_values(self) -> NDArray[np.int64]:
        """Returns each possible word as a number."""
        words = np.arange(2**self.bits_allocated)
        return _signed(words, self.bits_allocated) if self.is_signed else words


@dataclass(frozen=True)
class LookupTable:
    """A lookup table of a data set.

    Attributes:
        first: The value that is mapped to the first entry.
        entries: The values that are mapped to.
        bits: Bits of the entries.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def apply(self, values: Values) -> Values:
        """Maps values. Those outside of the table get its first or last entry (PS3.3 C.11.1.1)."""
        indices = np.rint(values - self.first).clip(0, len(self.entries) - 1).astype(np.int64)
        return self.entries[indices].astype(np.float64)


def to_grey(
    words: NDArray[np.uint8] | NDArray[np.uint16], form: SampleFormat, attributes: Attributes
) -> NDArray[np.uint8]:
    """Returns the image as it is meant to be displayed, bone bright.

    The samples pass through the modality LUT or rescale, then the VOI LUT or window. Without a window, the range of
    their values is scaled to 0..255, unless they have 8 bits. Padding is black.

    Args:
        words: (H, W), of `form.bits_allocated` bits.
        form: Where the samples are in the words.
        attributes: Attributes of the data set.

    Returns:
        uint8 (H, W).
    """
    # The transformations are applied to all possible words, at most 65,536, instead of to each pixel.
    stored = form.stored_values()
    values, is_linear = _modality_values(stored, form, attributes)
    is_padding = _is_padding(stored, form, attributes)
    occurs = _occurring(words, len(stored))
    if not (occurs & ~is_padding).any():
        is_padding[:] = False
    shown = _voi_shown(values, form, attributes)
    if shown is None:
        keeps_levels = form.bits_stored <= 8 and not form.is_signed and is_linear
        fitted = values if keeps_levels else values[occurs & ~is_padding]
        low, high = fitted.min(), fitted.max()
        shown = (values - low) / ((high - low) or 1.0)
    shown = shown.clip(0, 1)
    if _is_inverted(attributes):
        shown = 1 - shown
    shown[is_padding] = 0
    return apply_lookup_table(np.rint(shown * 255).astype(np.uint8), words)


def _signed(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values)


def _occurring(words: NDArray[np.uint8] | NDArray[np.uint16], count: int) -> NDArray[np.bool_]:
    occurs = np.zeros(count, bool)
    for top in range(0, len(words), ROWS_PER_BLOCK):
        occurs[words[top : top + ROWS_PER_BLOCK]] = True
    return occurs


def _modality_values(
    stored: NDArray[np.int64], form: SampleFormat, attributes: Attributes
) -> tuple[Values, bool]:
    """Applies the modality LUT or rescale (PS3.3 C.11.1), and returns whether the result is linear."""
    values = stored.astype(np.float64)
    table = _lookup_table(attributes, "ModalityLUTSequence", values)
    if table is not None:
        return table.apply(values), False
    slope = attributes.decimal("RescaleSlope", 1.0) or 1.0
    return values * slope + attributes.decimal("RescaleIntercept", 0.0), True


def _is_padding(stored: NDArray[np.int64], form: SampleFormat, attributes: Attributes) -> NDArray[np.bool_]:
    """Returns the words that are padding (PS3.3 C.7.5.1.1.2).

    The padding value may need more bits than the samples: it is compared with the whole word as well.
    """
    values = attributes.integers("PixelPaddingValue", is_signed=form.is_signed)[:1]
    if not values:
        return np.zeros(len(stored), bool)
    values += attributes.integers("PixelPaddingRangeLimit", is_signed=form.is_signed)[:1]
    low, high = min(values), max(values)
    is_padding = (low <= stored) & (stored <= high)
    if form.shift == 0:
        whole = form.word_values()
        is_padding |= (low <= whole) & (whole <= high)
    return is_padding


def _voi_shown(values: Values, form: SampleFormat, attributes: Attributes) -> Values | None:
    """Applies the VOI LUT or window (PS3.3 C.11.2): 0 is black, 1 is white. Returns None if there is none."""
    table = _lookup_table(attributes, "VOILUTSequence", values)
    if table is not None:
        return table.apply(values) / float(2**table.bits - 1)
    centers, widths = attributes.decimals("WindowCenter"), attributes.decimals("WindowWidth")
    if not centers or not widths:
        return None
    return _windowed(values, centers[0], widths[0], attributes.code("VOILUTFunction"))


def _windowed(values: Values, center: float, width: float, function: str) -> Values | None:
    """Applies a window (PS3.3 C.11.2.1.2 and C.11.2.1.3), or returns None if its width is invalid."""
    if function == "SIGMOID" and width > 0:
        # Beyond 60 the result is 0 or 1 in any case, and the exponential might overflow.
        exponent: Values = (-4 * (values - center) / width).clip(-60, 60)
        return np.asarray(1 / (1 + np.exp(exponent)))
    if function == "LINEAR_EXACT" and width > 0:
        return (values - center) / width + 0.5
    if function in ("SIGMOID", "LINEAR_EXACT") or width < 1:
        return None
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


def _lookup_table(attributes: Attributes, sequence: str, values: Values) -> LookupTable | None:
    """Returns the first usable lookup table of a sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Args:
        attributes: Attributes of the data set.
        sequence: Keyword of the sequence.
        values: All values that the table may be applied to, which tell whether the first mapped value is signed.
    """
    for item in attributes.items(sequence):
        descriptor, data = item.integers("LUTDescriptor"), item.words("LUTData")
        if len(descriptor) != 3:
            continue
        count, first, bits = descriptor
        entries = _entries(data, count or 2**16)
        if entries is not None:
            return LookupTable(_first_value(first, len(entries), values), entries, _entry_bits(entries, bits))
    return None


def _entries(data: bytes, count: int) -> NDArray[np.uint16] | None:
    """Returns the entries: words, or bytes where there are half as many words."""
    if len(data) >= 2 * count:
        return np.frombuffer(data, "<u2", count).astype(np.uint16)
    if len(data) >= count:
        return np.frombuffer(data, np.uint8, count).astype(np.uint16)
    return None


def _first_value(first: int, count: int, values: Values) -> int:
    """Returns the first value mapped, which is signed if the values may be negative, whatever its representation."""
    candidates = [first, first - 2**16 if first >= 2**15 else first]
    if values.min() < 0:
        candidates.reverse()
    for candidate in candidates:
        if candidate <= values.max() and candidate + count > values.min():
            return candidate
    return candidates[0]


def _entry_bits(entries: NDArray[np.uint16], declared: int) -> int:
    used = max(int(entries.max()).bit_length(), MIN_ENTRY_BITS)
    return declared if used <= declared <= used + MAX_UNUSED_BITS else used


def _is_inverted(attributes: Attributes) -> bool:
    """Returns whether the lowest value is white.

    The presentation LUT shape decides where there is one (PS3.3 C.11.6), as in DCMTK and dcm4che; it should agree with
    the photometric interpretation (PS3.3 C.8.11.3.1.2).
    """
    shape = attributes.code("PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return attributes.code("PhotometricInterpretation") == "MONOCHROME1"
