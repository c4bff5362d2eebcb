"""Tests of the parts for training and validation."""

import pytest

from swin_dense.datasets.splits import is_validation, split_names

NAMES = [f"street/{index:05}.jpg" for index in range(4000)]


def test_the_part_for_validation_has_about_its_fraction() -> None:
    share = sum(is_validation(name, 0.1) for name in NAMES) / len(NAMES)
    assert share == pytest.approx(0.1, abs=0.02)


def test_the_parts_do_not_depend_on_the_machine_or_the_order() -> None:
    assert [name[7:12] for name in NAMES[:40] if is_validation(name, 0.1)] == ["00023", "00030"]


def test_a_larger_fraction_only_adds_images() -> None:
    small = {name for name in NAMES if is_validation(name, 0.1)}
    large = {name for name in NAMES if is_validation(name, 0.3)}
    assert small < large


def test_another_seed_gives_other_parts() -> None:
    first = {name for name in NAMES if is_validation(name, 0.1)}
    second = {name for name in NAMES if is_validation(name, 0.1, seed=1)}
    assert len(first & second) < 0.3 * len(first)


def test_none_and_all_are_fractions_and_names_may_be_any_text() -> None:
    assert not any(is_validation(name, 0.0) for name in NAMES)
    assert all(is_validation(name, 1.0) for name in NAMES)
    assert is_validation("stra\udcdfe.jpg", 1.0)


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"must be in 0\.\.1, got"):
        is_validation("a.jpg", fraction)


def test_the_parts_hold_each_name_once_in_any_order() -> None:
    training, validation = split_names(NAMES, 0.1)
    assert sorted(training + validation) == NAMES
    assert all(is_validation(name, 0.1) for name in validation)
    turned, other = split_names(NAMES[::-1], 0.1)
    assert (turned[::-1], other[::-1]) == (training, validation)


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_neither_part_of_a_few_images_is_empty(fraction: float) -> None:
    training, validation = split_names(NAMES[:2], fraction)
    assert len(training) == len(validation) == 1


def test_one_image_and_a_fraction_of_all_are_no_two_parts() -> None:
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        split_names(["a.jpg"], 0.5)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.0"):
        split_names(NAMES, 1.0)
