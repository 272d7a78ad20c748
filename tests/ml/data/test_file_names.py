"""File names link images of one source, and generic names link nothing."""

import random

from ml.data.file_names import find_name_links


def pairs(paths):
    return [(link.first, link.second) for link in find_name_links(paths)]


ID = "b2170266ea6b6d03bfb4ae5991df98ce"


def test_ids_that_share_many_digits_are_linked():
    paths = [f"A/image31_jpeg.rf.{ID}.jpg", f"B/image31_jpeg.rf.{ID[:6]}{ID[12:]}.jpg", "A/other.jpg"]
    assert pairs(paths) == [(0, 1)]


def test_a_generic_stem_does_not_link_files():
    other = "8f2419c6c065392dfad896e83f29f0cf"
    assert pairs([f"A/image25_jpeg.rf.{ID}.jpg", f"A/image25_jpeg.rf.{other}.jpg"]) == []
    assert pairs(["A/IMG_20200131_123456.jpg", "A/IMG_20200131_123457.jpg"]) == []


def test_a_long_stem_links_files():
    other = "8f2419c6c065392dfad896e83f29f0cf"
    stem = "left-knee-ap-and-lateral-radiographs"
    assert pairs([f"A/{stem}.rf.{ID}.jpg", f"B/{stem}.rf.{other}.jpg"]) == [(0, 1)]


def test_text_shared_by_many_files_does_not_link_them():
    digits = random.Random(1)
    paths = [f"A/5f3c2a1b9d8e{digits.getrandbits(64):016x}.jpg" for _ in range(30)]
    assert pairs(paths) == []


def test_random_ids_are_not_linked_by_chance():
    digits = random.Random(2)
    assert len(pairs([f"A/{digits.getrandbits(128):032x}.jpg" for _ in range(500)])) <= 1
