"""The manifest: images to shards, written and read."""

from pathlib import Path

import pytest

from swin_dense.datasets.features.manifest import (
    ShardImages,
    plan_shards,
    read_manifest,
    write_manifest,
)

IMAGES = [(f"{number}.jpg", 10 * number) for number in range(5)]


def test_images_are_divided_in_their_order() -> None:
    assert plan_shards(IMAGES, images_per_shard=2, first=3) == [
        ShardImages("shard-000003", ("0.jpg", "1.jpg"), (0, 10)),
        ShardImages("shard-000004", ("2.jpg", "3.jpg"), (20, 30)),
        ShardImages("shard-000005", ("4.jpg",), (40,)),
    ]
    assert plan_shards([], images_per_shard=2) == []


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    names = ["a\nb.jpg", 'ä"\\.png', "\u2028.jpg"]
    shards = plan_shards([(name, -1) for name in names], images_per_shard=2)
    write_manifest(tmp_path, shards)
    assert read_manifest(tmp_path) == shards
    assert len((tmp_path / "manifest.jsonl").read_bytes().split(b"\n")) == 3


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"shard": "shard-000001", "id": [], "file_bytes": []}',
        '{"shard": "shard-000000", "id": ["a"], "file_bytes": []}',
        '{"shard": "shard-000000", "id": 3, "file_bytes": []}',
    ],
)
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"line 1 of .*manifest.jsonl must be a shard"):
        read_manifest(tmp_path)
