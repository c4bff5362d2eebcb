"""Shards made by processes of Ray: bit for bit those of this process, also when one is killed."""

import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feature_extraction import make_extractor, read_folder, save_backbone, write_images

import swin_dense as sd
from swin_dense.datasets.features.inputs import find_images
from swin_dense.tools.features.extractor import Extractor
from swin_dense.tools.features.pipeline import ShardTask, make_shards
from swin_dense.tools.features.ray_engine import (
    ShardMaker,
    _anywhere,
    _row_of,
    _share,
    _task_of,
    make_shards_with_ray,
)

SIZES = {f"{number:02}.png": (100, 100 + number) for number in range(24)}


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    save_backbone(path)
    return make_extractor(path)


@pytest.fixture
def tasks(tmp_path: Path) -> list[ShardTask]:
    files = list(find_images([write_images(tmp_path / "images", SIZES)]).values())
    return [ShardTask(f"shard-{i:06}", tuple(files[2 * i : 2 * i + 2])) for i in range(12)]


def _make_here(tasks: list[ShardTask], extractor: Extractor, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    list(make_shards(tasks, extractor, folder, num_workers=1))
    return read_folder(folder)


def test_a_row_is_a_shard_to_do(tasks: list[ShardTask]) -> None:
    file = tasks[0].files[0]._replace(stated_size=(100, 100))
    task = ShardTask("shard-000007", (file, *tasks[0].files))
    assert _task_of(_row_of(task)) == task


def test_an_actor_writes_what_this_process_writes(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    (tmp_path / "actor").mkdir()
    options: dict[str, Any] = {"num_workers": 1, "batch_size": None, "max_megapixels": 200.0}
    actor = ShardMaker(extractor._config, tmp_path / "actor", **options)
    for task in tasks[:2]:
        report = actor(_row_of(task))
        assert (report["num_images"], report["num_errors"], report["failure"]) == (2, 0, "")
    assert read_folder(tmp_path / "actor") == _make_here(tasks[:2], extractor, tmp_path / "here")


def test_an_actor_answers_why_it_cannot_write(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"num_workers": 1, "batch_size": None, "max_megapixels": 200.0}
    actor = ShardMaker(extractor._config, tmp_path / "gone", **options)
    report = actor(_row_of(tasks[0]))
    assert report["num_images"] == 0
    assert report["failure"].startswith("shard-000000: [Errno 2] No such file or directory: ")


@pytest.mark.parametrize(
    ("there", "device", "num_actors", "expected"),
    [
        ({"CPU": 8.0}, "auto", None, ({"num_cpus": 2}, 4)),
        ({"CPU": 8.0}, "auto", 2, ({"num_cpus": 2}, 2)),
        ({"CPU": 8.0}, "auto", 16, ({"num_cpus": 0.5}, 16)),
        ({"CPU": 1.0}, "auto", None, ({"num_cpus": 1}, 1)),
        ({"CPU": 8.0, "GPU": 2.0}, "auto", None, ({"num_gpus": 1.0, "num_cpus": 1}, 2)),
        ({"CPU": 8.0, "GPU": 2.0}, "cuda", 4, ({"num_gpus": 0.5, "num_cpus": 1}, 4)),
        ({"CPU": 8.0, "GPU": 2.0}, "cpu", None, ({"num_cpus": 2}, 4)),
    ],
)
def test_a_cluster_is_shared_among_actors(
    there: dict[str, float],
    device: str,
    num_actors: int | None,
    expected: Any,
    extractor: Extractor,
) -> None:
    config = replace(extractor._config, threads=2, device=device)
    assert _share(there, config, num_actors, 100) == expected
    assert _share(there, config, num_actors, 1)[1] == 1


def test_paths_of_weights_are_good_in_every_folder(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(extractor._config.weights)
    monkeypatch.chdir(path.parent)
    assert _anywhere(replace(extractor._config, weights=path.name)).weights == str(path)
    name = replace(extractor._config, weights="swin_tiny_patch4_window7_224")
    assert _anywhere(name) == name


def test_without_ray_one_line_says_what_to_install(
    tasks: list[ShardTask], extractor: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ValueError, match=r"--engine ray needs Ray Data.* pip install 'swin-dense"):
        list(_make_with_ray(tasks, extractor, tmp_path))


def _make_with_ray(tasks: list[ShardTask], extractor: Extractor, folder: Path) -> Any:
    return make_shards_with_ray(
        tasks,
        extractor._config,
        folder,
        address=None,
        num_actors=2,
        num_workers=1,
        batch_size=None,
        max_megapixels=200.0,
    )


@pytest.mark.slow
def test_two_actors_of_which_one_is_killed_write_the_same_store(
    extractor: Extractor, tmp_path: Path
) -> None:
    pytest.importorskip("ray.data", reason='needs pip install -e ".[ray]"')
    psutil = pytest.importorskip("psutil", reason="needs psutil to find the actors")
    sizes = {f"{number:02}.png": (500, 500 + number) for number in range(24)}
    files = find_images([write_images(tmp_path / "images", sizes)]).values()
    tasks = [ShardTask(f"shard-{number:06}", (file,)) for number, file in enumerate(files)]
    (tmp_path / "ray").mkdir()
    num_images, killed = 0, None
    for report in _make_with_ray(tasks, extractor, tmp_path / "ray"):
        num_images += report.num_images
        if killed is None:
            actors = [
                process.pid
                for process in psutil.Process().children(recursive=True)
                if "".join(process.cmdline()).startswith("ray::MapWorker")
            ]
            assert len(actors) == 2
            killed = actors[0]
            os.kill(killed, signal.SIGKILL)
            assert len(list((tmp_path / "ray").glob("*.json"))) < 12  # there was more to do
    assert num_images == 24
    assert read_folder(tmp_path / "ray") == _make_here(tasks, extractor, tmp_path / "here")


@pytest.mark.slow
def test_a_store_begun_here_goes_on_with_ray_to_the_same_bits(
    extractor: Extractor, tmp_path: Path
) -> None:
    pytest.importorskip("ray.data", reason='needs pip install -e ".[ray]"')
    photos = write_images(tmp_path / "photos", SIZES)
    (photos / "bad.jpg").write_bytes(b"no image")
    options = {"images_per_shard": 2, "device": "cpu", "threads": 1}
    weights = extractor._config.weights
    sd.tools.features(weights, photos, out=tmp_path / "here", **options)
    shutil.copytree(tmp_path / "here", tmp_path / "ray")
    for number in range(3, 12):
        (tmp_path / "ray" / "shards" / f"shard-{number:06}.tar").unlink()
    options |= {"engine": "ray", "actors": 2, "workers": 1}
    store = sd.tools.features(weights, photos, out=tmp_path / "ray", **options)
    assert len(store) == 24
    assert read_folder(tmp_path / "ray") == read_folder(tmp_path / "here")
