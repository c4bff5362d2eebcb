"""Parts of a split: they are the same each time, and neither is empty."""

from collections import Counter
from pathlib import Path

import pytest

from swin_dense.datasets.formats.parts import Part, describe_part

_WHERE = Path("a.json")


def names_of(part: Part, names: list[str]) -> list[str]:
    return [names[place] for place in part.places(names, _WHERE)]


@pytest.mark.parametrize("count", [2, 3, 10, 200])
def test_the_two_parts_are_all_images_once_and_neither_is_empty(count: int) -> None:
    names = [f"{number}.jpg" for number in range(count)]
    train, val = (
        Part(is_for_validation=is_kept, fraction=0.1).places(names, _WHERE)
        for is_kept in (False, True)
    )
    assert sorted(train + val) == list(range(count))
    assert train
    assert val


def test_parts_are_the_same_in_another_order() -> None:
    names = [f"{number}.jpg" for number in range(50)]
    part = Part(is_for_validation=True, fraction=0.2)
    assert set(names_of(part, names)) == set(names_of(part, names[::-1]))


def test_copies_that_roboflow_made_of_an_image_stay_together() -> None:
    names = [f"{n}_jpg.rf.{copy * 32}.jpg" for n in range(30) for copy in "abc"]
    kept = names_of(Part(is_for_validation=True, fraction=0.3), names)
    assert set(Counter(name.split("_")[0] for name in kept).values()) == {3}


def test_a_list_names_images_with_or_without_their_folders(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("b.jpg\n\nx/c.jpg\n")
    part = Part(is_for_validation=True, list_file=tmp_path / "val.txt")
    assert names_of(part, ["x/a.jpg", "x/b.jpg", "x/c.jpg"]) == ["x/b.jpg", "x/c.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("d.jpg\n", r"must name images of a.json, got 1 that are not in it: d.jpg"),
        ("", r"must name some of the 2 images of a.json, got 0"),
        ("a.jpg\nb.jpg", r"must name some of the 2 images of a.json, got 2"),
    ],
)
def test_a_list_that_gives_no_two_parts_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "val.txt").write_text(content)
    part = Part(is_for_validation=True, list_file=tmp_path / "val.txt")
    with pytest.raises(ValueError, match=message):
        part.places(["a.jpg", "b.jpg"], _WHERE)


def test_one_image_cannot_be_divided_and_a_list_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"at least 2 images, got 1, in a\.json"):
        Part(is_for_validation=True, fraction=0.5).places(["a.jpg"], _WHERE)
    with pytest.raises(FileNotFoundError, match=r"no list of images none\.txt"):
        Part(is_for_validation=True, list_file=Path("none.txt")).places(["a", "b"], _WHERE)


def test_a_part_has_words_for_a_line_about_its_data() -> None:
    assert describe_part(None) == ""
    assert describe_part(Part(is_for_validation=True, fraction=0.25)).startswith(" (kept for")
    assert "without those of a.txt" in describe_part(
        Part(is_for_validation=False, list_file=Path("a.txt"))
    )
