"""Groups stay whole, classes stay balanced, and images keep their splits when data is added."""

import random
from collections import Counter

import pytest

from ml.data.splits import Group, split_groups


def groups(count, label="A", seed=1, largest=3):
    choice = random.Random(seed)
    return [Group(f"{label}-{index}", (label,) * choice.randint(1, largest)) for index in range(count)]


def shares(groups, sides, label):
    images = Counter()
    for group, side in zip(groups, sides, strict=True):
        if group.label == label:
            images[side] += len(group.labels)
    return {side: images[side] / images.total() for side in ("train", "validation", "test")}


@pytest.mark.parametrize("seed", range(8))
def test_each_class_has_about_15_percent_for_test_and_for_validation(seed):
    everything = groups(150, "A") + groups(40, "B") + groups(20, "C")
    sides = split_groups(everything, seed)
    for label in "ABC":
        share = shares(everything, sides, label)
        assert 0.08 <= share["test"] <= 0.22
        assert 0.08 <= share["validation"] <= 0.22


def test_the_split_depends_on_the_seed_but_not_on_the_order():
    everything = groups(60)
    sides = dict(zip([group.identity for group in everything], split_groups(everything, 3), strict=True))
    turned = everything[::-1]
    assert dict(zip([group.identity for group in turned], split_groups(turned, 3), strict=True)) == sides
    assert split_groups(everything, 4) != split_groups(everything, 3)


def test_groups_keep_their_split_when_others_are_added():
    before = groups(200, "A") + groups(120, "B")
    after = before + groups(50, "C") + [Group(f"new-{index}", ("A",)) for index in range(60)]
    assert split_groups(after)[: len(before)] == split_groups(before)


def test_splits_of_an_earlier_manifest_are_kept():
    former = random.Random(5).choices(["train", "validation", "test"], k=50)
    before = [Group(f"old-{index}", ("A",), frozenset({side})) for index, side in enumerate(former)]
    assert split_groups(before + groups(30))[:50] == former


def test_groups_with_test_images_stay_in_the_test_split():
    joined = Group("x", ("A", "A"), frozenset({"train", "validation", "test"}))
    assert split_groups([joined, *groups(10)])[0] == "test"
    assert split_groups([Group("x", ("A",), frozenset({"train", "validation"}))]) == ["validation"]


def test_new_groups_balance_the_splits_of_an_earlier_manifest():
    former = [Group(f"old-{index}", ("A",), frozenset({"train"})) for index in range(40)]
    everything = former + groups(40, largest=1)
    assert shares(everything, split_groups(everything), "A")["test"] >= 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_class_of_very_few_groups_has_training_images(count):
    sides = Counter(split_groups(groups(count, largest=1)))
    assert sides["train"] >= 1
    if count >= 3:
        assert sides["test"] == sides["validation"] == 1


@pytest.mark.parametrize("kept", [[], ["train"] * 300, ["train"] * 250 + ["test"] * 20 + ["validation"] * 20])
@pytest.mark.parametrize("sizes", [[1] * 33, [33], [30, 1, 1, 1], [11, 11, 11], [2] * 16 + [1]])
def test_most_new_images_go_to_training(kept, sizes):
    former = [Group(f"old-{index}", ("A",), frozenset({side})) for index, side in enumerate(kept)]
    for seed in range(20):
        new = [Group(f"new-{seed}-{index}", ("A",) * size) for index, size in enumerate(sizes)]
        images = Counter()
        for group, side in zip(new, split_groups(former + new, seed)[len(former) :], strict=True):
            images[side] += len(group.labels)
        at_least = 0.5 if kept or len(sizes) != 3 else 0.3
        assert images["train"] >= at_least * images.total()
