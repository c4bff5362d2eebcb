"""The command `features`: what it writes, resumes, refuses and says."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_extraction import read_folder, save_backbone, write_images

import swin_dense as sd
from swin_dense.datasets.features.feature_store import FeatureStore
from swin_dense.datasets.features.shards import ShardWriter
from swin_dense.tools.cli import main
from swin_dense.tools.files import hold

SIZES = {
    "a.png": (40, 60),
    "b.v1.png": (33, 50),
    "b.v2.png": (64, 64),
    "more/a.png": (10, 9),
    "more/e.png": (30, 30),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    save_backbone(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos", SIZES)


def _extract(weights: Path, photos: Path, out: Path, **flags: Any) -> FeatureStore:
    options = {"images_per_shard": 2, "device": "cpu", "dtype": "float32", "threads": 1}
    return sd.tools.features(weights, photos, out=out, **(options | flags))


def test_a_folder_becomes_a_store(weights: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason='needs pip install -e ".[features]"')
    store = _extract(weights, photos, tmp_path / "out")
    assert set(read_folder(tmp_path / "out")) == {
        "index.parquet",
        "manifest.jsonl",
        "store.json",
        *(
            f"shards/shard-00000{number}.{ending}"
            for number in range(3)
            for ending in ("json", "tar")
        ),
    }
    assert store.ids == list(SIZES)
    backbone = sd.create_backbone(save_backbone(tmp_path / "b.pth").config, weights=weights).eval()
    for item in sd.datasets.FeatureStore(tmp_path / "out"):
        assert item["size"] == item["original_size"] == SIZES[item["id"]]
        image = torch.from_numpy(sd.datasets.read_image(photos / item["id"])).permute(2, 0, 1)
        batch = sd.batch_images([image])
        with torch.no_grad():
            maps = backbone(batch.pixels)
        for level, whole, stride in zip(item["features"], maps, item["strides"], strict=True):
            expected = batch.crop(whole, stride=stride)[0].numpy()
            np.testing.assert_allclose(level, expected, rtol=0, atol=1e-5)


def test_flags_reach_the_store(weights: Path, photos: Path, tmp_path: Path) -> None:
    words = ["--levels", "1", "3", "--scale", "64", "32", "--pool", "mean", "--threads", "1"]
    words += ["--dtype", "bfloat16", "--precision", "bf16", "--batch-size", "2", "--workers", "0"]
    command = ["features", str(photos), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert main([*command, *words]) == 0
    store = FeatureStore(tmp_path / "out")
    item = store["a.png"]
    assert (item["size"], item["original_size"]) == ((32, 48), (40, 60))
    assert [level.shape for level in item["features"]] == [(16, 4, 6), (64, 1, 2)]
    assert [vector.shape for vector in item["pooled"]] == [(16,), (64,)]
    assert store.description.dtype == "bfloat16"


def test_a_preview_is_a_page_beside_the_store(weights: Path, photos: Path, tmp_path: Path) -> None:
    _extract(weights, photos, tmp_path / "out", preview=True)
    assert "5 of 5 images" in (tmp_path / "out" / "preview.html").read_text()


def test_the_same_command_again_changes_nothing(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _extract(weights, photos, tmp_path / "out")
    before = read_folder(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    assert capsys.readouterr().err.startswith("5 images: about ")
    _extract(weights, photos, tmp_path / "out")
    assert capsys.readouterr().err == "all 5 images are done\n"
    assert read_folder(tmp_path / "out") == before
    changed = [path.name for path, then in times.items() if path.stat().st_mtime_ns != then]
    assert changed == [".lock"] or changed == []


class _KilledError(BaseException):
    """In place of SIGKILL: nothing is cleaned up behind it."""


def _kill_at(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the next run at the given write, and leave what is half written."""
    writes = iter(range(place))
    write = ShardWriter._write

    def write_or_die(self: ShardWriter, part: bytes) -> None:
        if next(writes, None) is None:
            raise _KilledError
        write(self, part)

    monkeypatch.setattr(ShardWriter, "_write", write_or_die)
    monkeypatch.setattr(
        ShardWriter, "abandon", lambda self: self._file.closed or self._file.flush()
    )


@pytest.mark.parametrize("place", [0, 3, 11, 14, 25])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    place: int, weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "b.v3.png").write_bytes(b"no image")
    _extract(weights, photos, tmp_path / "whole")
    with monkeypatch.context() as context:
        _kill_at(place, context)
        with pytest.raises(_KilledError):
            _extract(weights, photos, tmp_path / "out")
    assert list((tmp_path / "out" / "shards").glob(".*.partial"))
    _extract(weights, photos, tmp_path / "out", workers=3)
    assert read_folder(tmp_path / "out") == read_folder(tmp_path / "whole")


def test_a_shard_that_was_cut_off_is_named_and_made_anew(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _extract(weights, photos, tmp_path / "out")
    before = read_folder(tmp_path / "out")
    os.truncate(tmp_path / "out" / "shards" / "shard-000001.tar", 2000)
    capsys.readouterr()
    _extract(weights, photos, tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"shard-000001 in {tmp_path}/out is not whole and is made anew"
    assert lines[1].startswith("2 of 5 images to do: about ")
    assert read_folder(tmp_path / "out") == before


def test_a_run_that_is_killed_leaves_no_table_of_what_was_there_before(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason='needs pip install -e ".[features]"')
    _extract(weights, photos, tmp_path / "out")
    write_images(photos, {"a.png": (20, 20)})  # it was another image before
    (tmp_path / "out" / "shards" / "shard-000000.tar").unlink()
    with monkeypatch.context() as context:
        context.setattr("swin_dense.tools.commands.features._write_index", _die)
        with pytest.raises(_KilledError):
            _extract(weights, photos, tmp_path / "out")
    assert FeatureStore(tmp_path / "out")["a.png"]["size"] == (20, 20)
    _extract(weights, photos, tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "index.parquet")["size"][0].as_py() == [20, 20]


def _die(*_: object) -> None:
    raise _KilledError


def test_new_images_are_added(weights: Path, photos: Path, tmp_path: Path) -> None:
    _extract(weights, photos, tmp_path / "out")
    write_images(photos, {"0.png": (20, 20)})
    store = _extract(weights, photos, tmp_path / "out", images_per_shard=None)
    assert store.ids == [*SIZES, "0.png"]


def test_bad_images_stop_nothing(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photos / "b.v2.png"
    path.write_bytes(path.read_bytes()[:1000])
    (photos / "c.jpg").write_bytes(b"")
    (photos / "d.jpg").write_bytes(b"no image")
    command = ["features", str(photos), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    store = FeatureStore(tmp_path / "out")
    assert set(store.errors) == {"b.v2.png", "c.jpg", "d.jpg"}
    assert store.ids == [name for name in SIZES if name != "b.v2.png"]
    warning = capsys.readouterr().err.splitlines()[-1]
    assert warning.startswith("warning: 3 of 7 images in ")
    assert "d.jpg cannot be read as an image" in warning
    assert main([*command, "--strict"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: 3 of 7 images in ")


def test_an_image_that_is_deleted_meanwhile_is_noted(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swin_dense.tools.features import plan as module

    monkeypatch.setattr(module, "remove_partial", lambda folder: (photos / "a.png").unlink())
    assert _extract(weights, photos, tmp_path / "out").errors == {"a.png": "no image file a.png"}


def test_another_model_scale_or_type_is_refused(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    _extract(weights, photos, tmp_path / "out")
    before = read_folder(tmp_path / "out")
    torch.save(
        sd.create_backbone(save_backbone(tmp_path / "b.pth").config).state_dict(),
        tmp_path / "b.pth",
    )
    for other, message in (
        ({"dtype": "float16"}, "dtype float16 instead of float32"),
        ({"scale": (64, 64)}, "scale 64 64 instead of none"),
        ({"weights": tmp_path / "b.pth"}, "weights [0-9a-f]{64} instead of [0-9a-f]{64}"),
    ):
        with pytest.raises(ValueError, match=f"features that were made otherwise: {message}; choo"):
            _extract(**({"weights": weights, "photos": photos, "out": tmp_path / "out"} | other))
    assert read_folder(tmp_path / "out") == before


def test_threads_are_those_that_the_store_was_begun_with(
    weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _extract(weights, photos, tmp_path / "out", threads=3)
    (tmp_path / "out" / "shards" / "shard-000000.tar").unlink()
    _extract(weights, photos, tmp_path / "out", threads=None)
    assert "more than one way" not in capsys.readouterr().err
    (tmp_path / "out" / "shards" / "shard-000000.tar").unlink()
    _extract(weights, photos, tmp_path / "out", threads=1)
    assert "is made in more than one way" in capsys.readouterr().err


def test_the_callers_threads_stay_as_they_are(weights: Path, photos: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    _extract(weights, photos, tmp_path / "out", threads=before + 1)
    assert torch.get_num_threads() == before


def test_a_folder_that_another_run_uses_is_refused(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with (
        hold(tmp_path / "out"),
        pytest.raises(ValueError, match="is in use by a live run; choose another --out"),
    ):
        _extract(weights, photos, tmp_path / "out")


def test_a_disk_that_is_too_small_is_refused_unless_forced(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match=r"must have room for about .* got 100 bytes free"):
        _extract(weights, photos, tmp_path / "out")
    assert len(_extract(weights, photos, tmp_path / "out", force=True)) == len(SIZES)


def test_without_pyarrow_the_store_is_complete_but_for_the_table(
    weights: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "pyarrow.parquet", None)
        assert _extract(weights, photos, tmp_path / "out").ids == list(SIZES)
        warning = capsys.readouterr().err.splitlines()[-1]
        assert warning.startswith("warning: index.parquet needs pyarrow, which is not installed")
        assert not (tmp_path / "out" / "index.parquet").exists()
    pytest.importorskip("pyarrow", reason='needs pip install -e ".[features]"')
    _extract(weights, photos, tmp_path / "out")
    assert (tmp_path / "out" / "index.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "features must have images, folders, patterns or lists, got none"),
        (["PHOTOS", "--levels", "4"], r"--levels must be different levels of 0..3, got 4"),
        (["PHOTOS", "--actors", "2"], "--actors must have --engine ray, got --engine local"),
        (["PHOTOS", "--workers", "-1"], r"--workers must be in 0..256, got -1"),
        (["PHOTOS", "--scale", "0", "8"], r"--scale must be in 1..32768, got 0"),
        (["PHOTOS/a.png", "PHOTOS"], "each image must have an id of its own, got 'a.png' for "),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str],
    message: str,
    weights: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inputs = [word.replace("PHOTOS", str(photos)) for word in words]
    command = ["features", *inputs, "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(weights: Path, tmp_path: Path) -> None:
    sizes = {f"{number:02}.png": (120 + number, 200 - number) for number in range(80)}
    photos = write_images(tmp_path / "photos", sizes)
    _extract(weights, photos, tmp_path / "whole", images_per_shard=1)
    words = ["features", str(photos), "--weights", str(weights), "--images-per-shard", "1"]
    words += ["--device", "cpu", "--dtype", "float32", "--threads", "1", "--out"]
    command = [sys.executable, "-m", "swin_dense.tools.cli", *words, str(tmp_path / "out")]
    source = random.Random(0)
    done = []
    for _ in range(10):
        run = subprocess.Popen(command, stderr=subprocess.PIPE)
        begun = len(list(tmp_path.glob("out/shards/*.json")))
        while run.poll() is None and len(list(tmp_path.glob("out/shards/*.json"))) == begun:
            time.sleep(0.01)  # until it is at work
        time.sleep(source.uniform(0, 0.3))
        run.send_signal(signal.SIGKILL)
        run.communicate()
        done.append(len(list(tmp_path.glob("out/shards/*.json"))))
    assert done[0] < 80
    subprocess.run(command, check=True, capture_output=True)
    assert read_folder(tmp_path / "out") == read_folder(tmp_path / "whole")
