"""Generated data: the same bytes everywhere, and something to learn in them."""

from __future__ import annotations

import numpy as np
import pytest

from goldtrace.errors import DataError
from goldtrace.reference import synthetic
from goldtrace.reference.synthetic import Split


def test_random_words_are_those_of_splitmix64() -> None:
    # The reference: Vigna's splitmix64.c, seeded with 0, gives these first three words; a split
    # and a stream only shift where the counter starts.
    def reference(counter: int) -> int:
        mask = (1 << 64) - 1
        word = counter * 0x9E3779B97F4A7C15 & mask
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ word >> 27) * 0x94D049BB133111EB & mask
        return word ^ word >> 31

    assert reference(1) == 0xE220A8397B1DCDAF
    start = (Split.TEST.value << 56) | (22 << 40)
    words = synthetic._draws(Split.TEST, 22, 5).tolist()
    assert words == [reference(start + place) for place in range(1, 6)]


@pytest.mark.parametrize("split", Split)
def test_generated_data_has_the_bytes_of_the_committed_manifest(split: Split) -> None:
    # Both raise otherwise; the sizes guard against an empty manifest.
    assert len(synthetic.images(split)) == 1_000 * 3_073
    assert len(synthetic.sequences(split)) == 500 * 38


def test_other_bytes_than_the_manifest_lists_are_an_error_that_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthetic, "CLASSES", 9)

    with pytest.raises(DataError, match=r"generated synthetic data, train-0-1000\.bin"):
        synthetic.images(Split.TRAIN)


def test_labels_come_in_turn_and_images_of_a_class_differ() -> None:
    records = np.frombuffer(synthetic.images(Split.TRAIN), np.uint8).reshape(1_000, 3_073)

    assert records[:, 0].tolist() == list(range(10)) * 100
    assert len(np.unique(records[::10, 1:], axis=0)) == 100


def test_the_splits_share_no_image() -> None:
    def images(split: Split) -> set[bytes]:
        records = np.frombuffer(synthetic.images(split), np.uint8).reshape(1_000, 3_073)
        return {record.tobytes() for record in records}

    assert not images(Split.TRAIN) & images(Split.TEST)


def test_sequences_mostly_count_in_strides_of_one_to_four() -> None:
    tokens = np.frombuffer(synthetic.sequences(Split.TRAIN), np.uint8).reshape(-1, 38).astype(int)

    assert tokens.max() == 22
    steps = np.diff(tokens, axis=1) % 23
    usual = np.array([np.bincount(row, minlength=23).argmax() for row in steps])
    assert set(usual.tolist()) == {1, 2, 3, 4}
    share = (steps == usual[:, None]).mean()
    assert 0.85 < share < 0.95
