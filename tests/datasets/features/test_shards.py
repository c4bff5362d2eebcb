"""Shards: whole or absent, the same bytes every time, readable by plain tools."""

import errno
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from feature_shards import describe, draw_arrays
from safetensors.numpy import load

from swin_dense.datasets.features import shards as module
from swin_dense.datasets.features.shards import (
    ShardIndex,
    ShardWriter,
    has_files,
    read_shard_index,
    read_whole_shards,
    remove_partial,
)

SIZE = (20, 31)


def _write(
    folder: Path, name: str = "shard-000000", *, ids: tuple[str, ...] = ("a", "b")
) -> ShardIndex:
    with ShardWriter(folder, name, dtype="float16") as writer:
        for seed, image_id in enumerate(ids):
            arrays = draw_arrays(describe(), SIZE, seed=seed)
            writer.add(image_id, arrays, size=SIZE, original_size=(40, 62))
        writer.add_error("bad", "bad is broken")
        return writer.finish()


def test_the_index_leads_to_each_safetensors_file(tmp_path: Path) -> None:
    index = _write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "shard-000000.json",
        "shard-000000.tar",
    ]
    assert read_shard_index(tmp_path, "shard-000000") == index
    assert (index.ids, index.errors) == (("a", "b"), {"bad": "bad is broken"})
    content = (tmp_path / "shard-000000.tar").read_bytes()
    assert len(content) == index.tar_bytes
    for seed, (offset, num_bytes) in enumerate(zip(index.offsets, index.num_bytes, strict=True)):
        assert offset % 512 == 0
        read = load(content[offset : offset + num_bytes])
        for name, array in draw_arrays(describe(), SIZE, seed=seed).items():
            np.testing.assert_array_equal(read[name], array)


def test_tar_reads_the_shard(tmp_path: Path) -> None:
    _write(tmp_path, ids=("a.b.jpg", "more/ü.jpg"))
    with tarfile.open(tmp_path / "shard-000000.tar") as file:
        assert file.getnames() == [
            "a.b.jpg/features.safetensors",
            "more/ü.jpg/features.safetensors",
        ]


def test_a_shard_without_readable_images_is_an_empty_tar_file(tmp_path: Path) -> None:
    index = _write(tmp_path, ids=())
    assert index.ids == ()
    with tarfile.open(tmp_path / "shard-000000.tar") as file:
        assert file.getnames() == []
    assert list(read_whole_shards(tmp_path, ["shard-000000"])) == [index]


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        _write(tmp_path / folder)
    for name in ("shard-000000.tar", "shard-000000.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_shard_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "shard-000000", dtype="float16") as writer:
        arrays = draw_arrays(describe(), SIZE, seed=0)
        writer.add("a", arrays, size=SIZE, original_size=SIZE)
        assert len(list(tmp_path.iterdir())) == 1
        assert not has_files(tmp_path, "shard-000000")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    ShardWriter(tmp_path, "shard-000001", dtype="float16")  # and the process is gone
    _write(tmp_path)
    remove_partial(tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".tar"]


def test_a_shard_that_is_cut_off_is_not_whole(tmp_path: Path) -> None:
    names = ["shard-000000", "shard-000001", "shard-000002", "shard-000003", "shard-000004"]
    indexes = [_write(tmp_path, name) for name in names[:4]]
    os.truncate(tmp_path / "shard-000001.tar", indexes[1].tar_bytes - 1)
    (tmp_path / "shard-000002.json").write_text('{"shard": "shard-000002", "id"')
    (tmp_path / "shard-000003.tar").unlink()
    assert [index.name for index in read_whole_shards(tmp_path, names)] == ["shard-000000"]
    assert [has_files(tmp_path, name) for name in names] == [True, True, True, True, False]


@pytest.mark.parametrize(
    "change", [{"shard": "other"}, {"offset": [1]}, {"size": None}, {"error": 3}]
)
def test_an_index_that_contradicts_itself_is_none(
    change: dict[str, object], tmp_path: Path
) -> None:
    _write(tmp_path)
    path = tmp_path / "shard-000000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert read_shard_index(tmp_path, "shard-000000") is None


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "shard-000000", dtype="float16")
    writer._file.close()
    writer._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    arrays = draw_arrays(describe(), SIZE, seed=0)
    with pytest.raises(OSError, match=r"shard-000000.tar") as caught:
        writer.add("a", arrays, size=SIZE, original_size=SIZE)
    writer.abandon()
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_large_shards_are_synced_as_they_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(module, "_SYNCED", 1000)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    _write(tmp_path, ids=("a", "b", "c"))
    assert synced
