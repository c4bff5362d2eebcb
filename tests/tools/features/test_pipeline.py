"""Shards made by one process: the same bits whatever else is different."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_extraction import (
    make_extractor,
    read_folder,
    save_backbone,
    write_images,
)

from swin_dense.datasets.features.inputs import ImageFile, find_images
from swin_dense.datasets.features.shards import ShardIndex, ShardWriter, read_whole_shards
from swin_dense.tools.features import pipeline as module
from swin_dense.tools.features.extractor import Extractor
from swin_dense.tools.features.pipeline import ShardTask, make_shards
from swin_dense.tools.features.reading import LoadedImage

NAMES = [f"{number}.png" for number in range(7)]
SIZES = {name: (20 + 7 * (number % 3), 30) for number, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    save_backbone(path)
    return make_extractor(path)


@pytest.fixture
def tasks(tmp_path: Path) -> list[ShardTask]:
    files = list(find_images([write_images(tmp_path / "images", SIZES)]).values())
    return [
        ShardTask("shard-000000", tuple(files[:4])),
        ShardTask("shard-000001", tuple(files[4:])),
    ]


def _make(
    tasks: list[ShardTask], extractor: Extractor, folder: Path, **options: Any
) -> list[ShardIndex]:
    folder.mkdir(exist_ok=True)
    reports = list(make_shards(tasks, extractor, folder, **({"num_workers": 1} | options)))
    assert sum(report.num_images for report in reports) == sum(len(task.files) for task in tasks)
    return list(read_whole_shards(folder, [task.name for task in tasks]))


def test_a_shard_holds_its_images_in_order(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    indexes = _make(tasks, extractor, tmp_path / "shards")
    assert [index.ids for index in indexes] == [tuple(NAMES[:4]), tuple(NAMES[4:])]
    assert indexes[0].sizes == tuple(SIZES[name] for name in NAMES[:4])


@pytest.mark.parametrize("num_workers", [0, 3])
def test_neither_readers_nor_what_was_done_before_change_a_bit(
    num_workers: int, tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    _make(tasks, extractor, tmp_path / "whole")
    for task in reversed(tasks):
        _make([task], extractor, tmp_path / "parts", num_workers=num_workers)
    assert read_folder(tmp_path / "whole") == read_folder(tmp_path / "parts")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_size_of_batches_changes_roundings_at_most(
    batch_size: int, tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    one = _make(tasks, extractor, tmp_path / "one")
    two = _make(tasks, extractor, tmp_path / "two", batch_size=batch_size)
    assert one == two
    for index in one:
        contents = [
            (tmp_path / folder / f"{index.name}.tar").read_bytes() for folder in ("one", "two")
        ]
        for offset, num_bytes in zip(index.offsets, index.num_bytes, strict=True):
            start = offset + 8 + int.from_bytes(contents[0][offset : offset + 8], "little")
            values = [
                np.frombuffer(content[start : offset + num_bytes], np.float32)
                for content in contents
            ]
            np.testing.assert_allclose(*values, rtol=0, atol=1e-5)


def _images(*areas: int) -> list[LoadedImage]:
    file = ImageFile("", "", "")
    return [LoadedImage(file, np.empty((1, area, 3), np.uint8), (1, area)) for area in areas]


@pytest.mark.parametrize(
    ("most", "pixels", "expected"),
    [
        (2, np.inf, [[5, 1], [1, 9], [2]]),
        (64, 6, [[5, 1], [1], [9], [2]]),
        (64, 100, [[5, 1, 1, 9, 2]]),
        (1, 1, [[5], [1], [1], [9], [2]]),
    ],
)
def test_batches_are_filled_in_order(most: int, pixels: float, expected: list[list[int]]) -> None:
    batches = list(module._batches(_images(5, 1, 1, 9, 2), most=most, pixels=pixels))
    assert [[image.pixels.shape[1] for image in batch] for batch, _ in batches] == expected
    assert [is_last for _, is_last in batches] == [False] * (len(expected) - 1) + [True]


def test_tiny_images_share_a_forward(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    start = extractor.start

    def count(images: list[np.ndarray]) -> Any:
        counts.append(len(images))
        return start(images)

    monkeypatch.setattr(extractor, "start", count)
    _make(tasks, extractor, tmp_path / "shards")
    assert counts == [4, 3]


def test_bad_images_are_noted_and_change_no_other(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    for file in tasks[1].files:
        Path(file.path).write_bytes(b"")
    Path(tasks[0].files[0].path).unlink()
    indexes = _make(tasks, extractor, tmp_path / "shards")
    assert [(index.ids, list(index.errors)) for index in indexes] == [
        (tuple(NAMES[1:4]), NAMES[:1]),
        ((), NAMES[4:]),
    ]
    assert indexes[0].errors == {"0.png": "no image file 0.png"}


def test_features_that_do_not_fit_the_type_are_noted(
    tasks: list[ShardTask], tmp_path: Path
) -> None:
    state = save_backbone(tmp_path / "large.pth").state_dict()
    state["norm0.bias"][0] = 1e6
    torch.save(state, tmp_path / "large.pth")
    extractor = make_extractor(tmp_path / "large.pth", dtype="float16")
    indexes = _make(tasks, extractor, tmp_path / "shards")
    assert indexes[0].errors["0.png"].startswith("0.png: its features are not finite")


def test_reports_count_what_was_written(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    Path(tasks[0].files[0].path).unlink()
    (tmp_path / "shards").mkdir()
    reports = list(make_shards(tasks, extractor, tmp_path / "shards", num_workers=1))
    names = [task.name for task in tasks]
    written = sum(sum(index.num_bytes) for index in read_whole_shards(tmp_path / "shards", names))
    assert [sum(numbers) for numbers in zip(*reports, strict=True)] == [7, 1, written]


@pytest.mark.parametrize("method", ["add", "finish"])
def test_a_failure_to_write_ends_the_run_and_leaves_no_part(
    method: str,
    tasks: list[ShardTask],
    extractor: Extractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "shard")

    monkeypatch.setattr(ShardWriter, method, fail)
    with pytest.raises(OSError, match="No space left on device"):
        _make(tasks, extractor, tmp_path / "shards")
    assert read_folder(tmp_path / "shards") == {}


def test_a_failure_to_compute_leaves_no_part_and_no_thread(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = extractor.start
    num_threads = threading.active_count()
    calls = []

    def fail_later(images: list[np.ndarray]) -> Any:
        calls.append(images)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return start(images)

    monkeypatch.setattr(extractor, "start", fail_later)
    with pytest.raises(RuntimeError, match="out of memory"):
        _make(tasks, extractor, tmp_path / "shards", batch_size=3)
    assert [
        name for name in read_folder(tmp_path / "shards") if not name.startswith("shard-0")
    ] == []
    assert threading.active_count() == num_threads


def test_who_stops_listening_ends_the_run(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    (tmp_path / "shards").mkdir()
    reports = make_shards(tasks, extractor, tmp_path / "shards", num_workers=2, batch_size=1)
    next(reports)
    reports.close()
    assert not [name for name in read_folder(tmp_path / "shards") if name.endswith(".partial")]
