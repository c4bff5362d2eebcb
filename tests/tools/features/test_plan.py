"""Plans of a store: images still to do, stores refused."""

import shutil
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feature_extraction import write_images
from feature_shards import describe, draw_arrays

from swin_dense.datasets.features.inputs import ImageFile, find_images
from swin_dense.datasets.features.layout import SHARDS, read_store
from swin_dense.datasets.features.manifest import read_manifest
from swin_dense.datasets.features.shards import ShardWriter
from swin_dense.tools.features.pipeline import ShardTask
from swin_dense.tools.features.plan import (
    StorePlan,
    check_room,
    describe_plan,
    estimate_bytes,
    in_bytes,
    make_plan,
)

SIZES = {f"{number}.png": (20, 31) for number in range(5)}
SWIN_T = describe(
    levels=(0, 1, 2, 3), strides=(4, 8, 16, 32), channels=(96, 192, 384, 768), scale=(1333, 800)
)


@pytest.fixture
def images(tmp_path: Path) -> dict[str, ImageFile]:
    return find_images([write_images(tmp_path / "images", SIZES)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def _plan(folder: Path, images: dict[str, ImageFile], **changes: Any) -> StorePlan:
    options: dict[str, Any] = {"inputs": ["images"], "run": {"threads": 1}, "images_per_shard": 2}
    description = changes.pop("description", describe())
    return make_plan(folder, images, description, **(options | changes))


def _write(folder: Path, tasks: Sequence[ShardTask]) -> None:
    for task in tasks:
        with ShardWriter(folder / SHARDS, task.name, dtype="float16") as writer:
            for file in task.files:
                arrays = draw_arrays(describe(), (20, 31), seed=0)
                writer.add(file.id, arrays, size=(20, 31), original_size=(20, 31))
            writer.finish()


def _names(plan: StorePlan) -> list[str]:
    return [task.name for task in plan.tasks]


def test_the_manifest_is_written_before_anything_is_read(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    plan = _plan(folder, images)
    assert [shard.ids for shard in read_manifest(folder)] == [
        ("0.png", "1.png"),
        ("2.png", "3.png"),
        ("4.png",),
    ]
    size = Path(images["4.png"].path).stat().st_size
    assert read_manifest(folder)[2].file_bytes == (size,)
    stored = read_store(folder)
    assert (stored.description, stored.images_per_shard) == (describe(), 2)
    assert (stored.inputs, stored.runs) == (("images",), ({"threads": 1},))
    assert _names(plan) == ["shard-000000", "shard-000001", "shard-000002"]
    assert plan.tasks[2].files == (images["4.png"],)
    assert (plan.num_images, plan.num_missing, plan.damaged) == (5, 5, ())


def test_what_is_whole_is_not_to_do(folder: Path, images: dict[str, ImageFile]) -> None:
    _write(folder, _plan(folder, images).tasks[1:])
    plan = _plan(folder, images)
    assert _names(plan) == ["shard-000000"]
    assert (plan.num_images, plan.num_missing) == (5, 2)
    assert describe_plan(plan).startswith("2 of 5 images to do: about ")
    _write(folder, plan.tasks)
    assert describe_plan(_plan(folder, images)) == "all 5 images are done"


def test_what_is_cut_off_is_named_and_done_again(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    _write(folder, _plan(folder, images).tasks)
    path = folder / SHARDS / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:-1])
    (folder / SHARDS / ".shard-000000.tar.12.partial").write_bytes(b"")
    plan = _plan(folder, images)
    assert _names(plan) == ["shard-000001"]
    assert plan.damaged == ("shard-000001",)
    assert not list(folder.rglob("*.partial"))


def test_a_shard_of_other_images_is_done_again(folder: Path, images: dict[str, ImageFile]) -> None:
    tasks = _plan(folder, images).tasks
    _write(folder, [*tasks[:2], ShardTask(tasks[2].name, tasks[0].files)])
    assert _names(_plan(folder, images)) == ["shard-000002"]


def test_new_images_get_new_shards(folder: Path, images: dict[str, ImageFile]) -> None:
    first = {name: images[name] for name in ("3.png", "1.png", "4.png")}
    _write(folder, _plan(folder, first).tasks)
    plan = _plan(folder, images, images_per_shard=None)
    assert [shard.ids for shard in read_manifest(folder)] == [
        ("3.png", "1.png"),
        ("4.png",),
        ("0.png", "2.png"),
    ]
    assert _names(plan) == ["shard-000002"]


def test_an_image_that_was_removed_is_still_to_do(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    _plan(folder, images)
    gone = images.pop("0.png")
    plan = _plan(folder, images)
    assert plan.tasks[0].files[0].id == "0.png"
    assert not Path(plan.tasks[0].files[0].path).exists()
    assert plan.tasks[0].files[0] != gone


def test_images_of_other_inputs_are_not_taken_for_removed(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    _write(folder, _plan(folder, images, inputs=["images", "more"]).tasks[:2])
    some = {name: images[name] for name in ("0.png", "1.png")}
    with pytest.raises(ValueError, match=r"has 1 images to do that are not among these inputs \(4"):
        _plan(folder, some)
    _write(folder, _plan(folder, some, inputs=["more", "images"]).tasks)
    assert _names(_plan(folder, some)) == []


def test_another_way_to_make_features_is_refused(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    _plan(folder, images)
    before = (folder / "store.json").read_bytes()
    with pytest.raises(ValueError, match=r"made otherwise: dtype float32 instead of float16; ch"):
        _plan(folder, images, description=describe(dtype="float32"))
    with pytest.raises(ValueError, match="images_per_shard 3 instead of 2"):
        _plan(folder, images, images_per_shard=3)
    assert (folder / "store.json").read_bytes() == before


def test_other_circumstances_are_recorded_once(folder: Path, images: dict[str, ImageFile]) -> None:
    runs = [{"threads": 1}, {"threads": 2}, {"threads": 1}]
    for run in runs:
        plan = _plan(folder, images, run=run)
    assert plan.stored.runs == ({"threads": 1}, {"threads": 2})
    _write(folder, plan.tasks)
    assert _plan(folder, images, run={"threads": 3}).stored.runs == plan.stored.runs


def test_shards_without_a_description_are_not_trusted(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    _write(folder, _plan(folder, images).tasks)
    (folder / "store.json").unlink()
    with pytest.raises(ValueError, match=r"has shards without a store.json; choose another"):
        _plan(folder, images)


def test_a_manifest_without_a_description_is_made_anew(
    folder: Path, images: dict[str, ImageFile]
) -> None:
    _plan(folder, {"0.png": images["0.png"]})
    (folder / "store.json").unlink()  # as if killed before it was written
    assert _plan(folder, images).num_images == 5


# ------------------------------------------------------------------------------------------- room


def _stated(height: int, width: int) -> ImageFile:
    return ImageFile("a", "absent", ".", (height, width))


def test_bytes_are_those_of_the_maps_after_the_resize() -> None:
    values = 96 * 200 * 304 + 192 * 100 * 152 + 384 * 50 * 76 + 768 * 25 * 38
    swin_t = replace(SWIN_T, scale=None)
    image = _stated(800, 1216)
    assert estimate_bytes([image], swin_t) == pytest.approx(2 * values, rel=1e-3)
    assert estimate_bytes([_stated(400, 608)], SWIN_T) == pytest.approx(2 * values, rel=1e-3)
    both = replace(swin_t, dtype="float32", pool="mean")
    assert estimate_bytes([image], both) == pytest.approx(4 * (values + 1440), rel=1e-3)


def test_bytes_are_read_off_the_headers_of_some_files(
    tmp_path: Path, images: dict[str, ImageFile]
) -> None:
    (tmp_path / "images" / "0.png").write_bytes(b"no image")
    expected = estimate_bytes([_stated(20, 31)], describe())
    assert estimate_bytes(list(images.values()), describe()) == expected
    assert estimate_bytes([images["0.png"]], describe()) > 0


def test_a_shard_has_32_mib_to_1_gib(folder: Path, images: dict[str, ImageFile]) -> None:
    assert _plan(folder, images, images_per_shard=None).stored.images_per_shard == 1000
    shutil.rmtree(folder)
    folder.mkdir()
    large = {f"{i}": _stated(800, 1216)._replace(id=f"{i}") for i in range(5)}
    plan = _plan(folder, large, images_per_shard=None, description=SWIN_T)
    assert plan.stored.images_per_shard == 2
    assert [len(shard.ids) for shard in plan.shards] == [2, 2, 1]


def _million(folder: Path) -> StorePlan:
    stored = _plan(folder, {"a": _stated(800, 1216)}, description=SWIN_T).stored
    task = ShardTask("shard-000000", (_stated(800, 1216),) * 1_000_000)
    shard = read_manifest(folder)[0]._replace(ids=("a",) * 1_000_000)
    image_bytes = estimate_bytes([_stated(800, 1216)], SWIN_T)
    return StorePlan(folder, stored, (shard,), (task,), (), image_bytes)


def test_bytes_to_come_are_told_with_a_way_to_have_fewer(folder: Path) -> None:
    assert describe_plan(_million(folder)) == (
        "1,000,000 images: about 21.9 TB in float16; --levels 2 3 gives 4.4 TB"
    )


def test_a_disk_without_the_room_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    plan = _million(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 22 * 10**12))
    check_room(plan)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 71 * 10**9))
    message = (
        r"store must have room for about 21.9 TB of features, got 71.0 GB free; "
        r"--levels 2 3 gives 4.4 TB, or --force starts all the same"
    )
    with pytest.raises(ValueError, match=message):
        check_room(plan)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_940, "99.9 kB"),
        (831e6, "831 MB"),
        (21.9e12, "21.9 TB"),
        (5e18, "5,000 PB"),
    ],
)
def test_bytes_have_three_digits(count: float, text: str) -> None:
    assert in_bytes(count) == text
