"""Results under random names: who has the name has the result, the oldest make room."""

from pathlib import Path

import pytest

from swin_dense.tools.serve.found import Found, FoundTable


def _found(folder: Path, name: str) -> Found:
    path = folder / name
    path.write_bytes(b"an image")
    return Found(name=name, path=path, size=(4, 6), input_size=(4, 6), result=name, seconds=0.1)


def test_each_result_has_a_name_of_its_own_that_is_long_and_random(tmp_path: Path) -> None:
    table = FoundTable()
    names = [table.add(_found(tmp_path, "a.jpg")) for _ in range(20)]
    assert len(set(names)) == 20
    assert min(map(len, names)) >= 24
    assert table.get(names[3]).result == "a.jpg"


def test_an_unknown_name_gives_nothing() -> None:
    with pytest.raises(KeyError):
        FoundTable().get("guess")


def test_the_result_that_was_not_asked_for_longest_makes_room_and_its_image_goes(
    tmp_path: Path,
) -> None:
    table = FoundTable(most=2)
    first, second = (table.add(_found(tmp_path, name)) for name in ("a.jpg", "b.jpg"))
    table.get(first)
    third = table.add(_found(tmp_path, "c.jpg"))
    assert [table.get(name).name for name in (first, third)] == ["a.jpg", "c.jpg"]
    with pytest.raises(KeyError):
        table.get(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "c.jpg"]


def test_a_result_goes_after_its_time(tmp_path: Path) -> None:
    now = [0.0]
    table = FoundTable(seconds=10, clock=lambda: now[0])
    name = table.add(_found(tmp_path, "a.jpg"))
    now[0] = 9.0
    table.get(name)
    now[0] = 18.0
    table.get(name)  # it was asked for
    now[0] = 29.0
    with pytest.raises(KeyError):
        table.get(name)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_removed_takes_its_image_along(tmp_path: Path) -> None:
    table = FoundTable()
    name = table.add(_found(tmp_path, "a.jpg"))
    table.remove(name)
    table.remove(name)
    assert len(table) == 0
    assert list(tmp_path.iterdir()) == []
