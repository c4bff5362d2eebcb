"""Choices of an address among the parts of a result."""

import pytest

from swin_dense.tools.serve.choice import Choice, read_choice

DEFAULT = Choice(threshold=0.3, opacity=0.6)


def test_an_address_without_a_choice_is_the_default() -> None:
    assert read_choice({}, DEFAULT) == DEFAULT


def test_an_address_chooses_threshold_classes_and_opacity() -> None:
    query = {"threshold": "0.5", "hidden": "3,7", "opacity": "1"}
    chosen = Choice(threshold=0.5, hidden=frozenset({3, 7}), opacity=1.0)
    assert read_choice(query, DEFAULT) == chosen


@pytest.mark.parametrize(
    "query",
    [
        {"threshold": "nan"},
        {"threshold": "2"},
        {"opacity": "-1"},
        {"opacity": "x"},
        {"hidden": "a"},
    ],
)
def test_a_choice_that_cannot_be_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"numbers in 0\.\.1 .* got \{'"):
        read_choice(query, DEFAULT)
