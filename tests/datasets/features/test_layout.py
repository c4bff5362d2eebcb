"""`store.json`: what it keeps, and what it refuses."""

import json
from pathlib import Path

import pytest
from feature_shards import describe

from swin_dense.datasets.features.layout import (
    StoredRuns,
    has_store,
    read_store,
    shard_name,
    write_store,
)

STORED = StoredRuns(
    description=describe(scale=(1333, 800)),
    images_per_shard=7,
    inputs=("photos", "@list.txt"),
    runs=({"threads": 2},),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert not has_store(tmp_path)
    write_store(tmp_path, STORED)
    assert has_store(tmp_path)
    assert read_store(tmp_path) == STORED
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]


def test_a_folder_without_a_store_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no feature store .*none: no such folder"):
        read_store(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no description of a feature store .*store.json"):
        read_store(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2 of the format, not 1"),
        ({"format": "other"}, "format 'other'"),
        ({"runs": None}, "must describe a feature store"),
    ],
)
def test_another_format_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    write_store(tmp_path, STORED)
    path = tmp_path / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read_store(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(ValueError, match=r"store.json must describe a feature store"):
        read_store(tmp_path)


def test_differences_are_told_with_both_values() -> None:
    ours = describe()
    assert ours.differences(ours) == []
    assert ours.differences(describe(dtype="float32", scale=(64, 32))) == [
        "dtype float32 instead of float16",
        "scale 64 32 instead of none",
    ]
    other = describe(levels=(1,), strides=(8,), channels=(4,))
    assert ours.differences(other) == ["levels 1 instead of 0 1"]
    assert ours.differences(describe(channels=(2, 5))) == ["channels 2 5 instead of 2 4"]


def test_map_sizes_are_rounded_up() -> None:
    assert describe().map_sizes((9, 1)) == [(2, 3, 1), (4, 2, 1)]


def test_names_of_shards_sort_as_their_numbers() -> None:
    names = [shard_name(number) for number in (0, 9, 10, 999_999)]
    assert names == sorted(names)
