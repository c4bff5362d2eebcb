"""Reading of a store: by id, by place, in order, in other processes, while it is written."""

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from feature_shards import describe, draw_arrays, write_feature_store
from torch.utils.data import DataLoader, Dataset

import swin_dense as sd
from swin_dense.datasets.features import feature_store as module
from swin_dense.datasets.features.feature_store import FeatureStore
from swin_dense.datasets.features.parquet_index import write_index

IMAGES = {
    "street.jpg": (20, 31),
    "a.b/c.1.jpg": (8, 8),
    "bad.jpg": (1, 1),
    "a.b/c.1.png": (1, 1),
    "z": (9, 40),
}
IDS = ["street.jpg", "a.b/c.1.jpg", "a.b/c.1.png", "z"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_feature_store(tmp_path / "store", IMAGES, bad=["bad.jpg"])
    return tmp_path / "store"


def _expected(image_id: str, **changes: object) -> list[np.ndarray]:
    place = list(IMAGES).index(image_id)
    arrays = draw_arrays(describe(**changes), IMAGES[image_id], seed=place)
    return [array for name, array in arrays.items() if name.startswith("level")]


def _assert_equal(features: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for array, other in zip(features, expected, strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array, other)


def test_an_image_is_found_by_id_and_by_place(folder: Path) -> None:
    store = FeatureStore(folder)
    assert len(store) == 4
    assert store.ids == IDS
    for place, image_id in enumerate(IDS):
        for item in (store[image_id], store[place], store[place - 4], store[np.int64(place)]):
            assert item["id"] == image_id
            assert item["strides"] == (4, 8)
            assert item["size"] == IMAGES[image_id]
            assert item["original_size"] == tuple(2 * side for side in IMAGES[image_id])
            assert "pooled" not in item
            _assert_equal(item["features"], _expected(image_id))


def test_iteration_goes_in_the_order_of_storage(folder: Path) -> None:
    assert [item["id"] for item in FeatureStore(folder)] == IDS


def test_what_cannot_be_read_is_in_errors(folder: Path) -> None:
    store = FeatureStore(folder)
    assert store.errors == {"bad.jpg": "bad.jpg is broken"}
    assert "bad.jpg" not in store
    assert "z" in store
    with pytest.raises(KeyError, match=r"bad.jpg has no features: bad.jpg is broken"):
        store["bad.jpg"]


@pytest.mark.parametrize(
    ("key", "kind", "message"),
    [
        ("street", KeyError, "no image 'street' among the 4 of "),
        (4, IndexError, r"place must be in 0\.\.3, got 4"),
        (-5, IndexError, r"place must be in 0\.\.3, got -5"),
        (slice(2), TypeError, "key must be an id or a place, got slice"),
    ],
)
def test_an_unknown_key_is_refused(
    key: object, kind: type[Exception], message: str, folder: Path
) -> None:
    with pytest.raises(kind, match=message):
        FeatureStore(folder)[key]  # type: ignore[index]


def test_arrays_belong_to_who_asked_for_them(folder: Path) -> None:
    store = FeatureStore(folder)
    first = store[0]["features"][0]
    first += 1
    _assert_equal(store[0]["features"], _expected("street.jpg"))


def test_some_levels_can_be_read_alone(folder: Path) -> None:
    store = FeatureStore(folder, levels=[1])
    assert (store.strides, store.channels) == ((8,), (4,))
    _assert_equal(store["z"]["features"], _expected("z")[1:])
    assert FeatureStore(folder, levels=[])["z"]["features"] == []
    with pytest.raises(ValueError, match=r"levels must be among 0 1, got 2 for .*store"):
        FeatureStore(folder, levels=[0, 2])


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_vectors_come_beside_the_maps_and_alone(dtype: str, tmp_path: Path) -> None:
    description = describe(pool="mean", dtype=dtype)
    write_feature_store(tmp_path / "store", IMAGES, description=description)
    store = FeatureStore(tmp_path / "store")
    for place, item in enumerate(store):
        arrays = draw_arrays(description, item["size"], seed=place)
        if dtype == "bfloat16":
            arrays = {
                name: torch.from_numpy(array).view(torch.bfloat16).float().numpy()
                for name, array in arrays.items()
            }
        _assert_equal([*item["pooled"], *item["features"]], list(arrays.values()))
    vectors = store.read_pooled(1)
    assert vectors.shape == (5, 4)
    np.testing.assert_array_equal(vectors, [item["pooled"][1] for item in store])
    (vector,) = FeatureStore(tmp_path / "store", levels=[1])["z"]["pooled"]
    np.testing.assert_array_equal(vector, vectors[4])


def test_a_store_without_vectors_says_so(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"must have one vector a level.*--pool mean"):
        FeatureStore(folder).read_pooled(1)


def test_loaders_read_it_in_worker_processes(folder: Path) -> None:
    store = FeatureStore(folder)
    assert isinstance(store, Dataset)
    _ = store[0], store["z"]  # maps and places that do not go along
    loader = DataLoader(store, batch_size=None, num_workers=1)
    for item, expected in zip(loader, store, strict=True):
        assert item["id"] == expected["id"]
        for tensor, array in zip(item["features"], expected["features"], strict=True):
            assert torch.equal(tensor, torch.from_numpy(array))


def test_a_copy_in_another_process_reads_the_same(folder: Path) -> None:
    store = FeatureStore(folder)
    _ = store["z"]
    copy = pickle.loads(pickle.dumps(store))
    assert copy.ids == IDS
    _assert_equal(copy["z"]["features"], _expected("z"))


def test_few_shards_are_mapped_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAPPED", 2)
    write_feature_store(tmp_path / "store", IMAGES, images_per_shard=1)
    store = FeatureStore(tmp_path / "store")
    for image_id in [*IMAGES, *IMAGES]:
        _assert_equal(store[image_id]["features"], _expected(image_id))
        assert len(store._mapped) <= 2


def test_a_store_that_is_being_written_has_what_is_whole(tmp_path: Path) -> None:
    write_feature_store(tmp_path / "store", IMAGES, num_whole=0)
    assert len(FeatureStore(tmp_path / "store")) == 0
    write_feature_store(tmp_path / "more", IMAGES, num_whole=2)
    shards = tmp_path / "more" / "shards"
    (shards / ".shard-000002.tar.00.partial").write_bytes(bytes(1000))
    (shards / "shard-000002.tar").write_bytes(bytes(1000))  # its index comes after it
    assert FeatureStore(tmp_path / "more").ids == [*IMAGES][:4]


@pytest.mark.parametrize("has_index", [False, True])
def test_a_shard_that_is_cut_off_is_left_out(has_index: bool, tmp_path: Path) -> None:
    indexes = write_feature_store(tmp_path / "store", IMAGES)
    if has_index:
        pytest.importorskip("pyarrow", reason='needs pip install -e ".[features]"')
        write_index(tmp_path / "store", describe(), indexes, num_shards=3)
        assert FeatureStore(tmp_path / "store").ids == [*IMAGES]
    path = tmp_path / "store" / "shards" / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:600])
    assert FeatureStore(tmp_path / "store").ids == ["street.jpg", "a.b/c.1.jpg", "z"]


def test_a_shard_that_is_cut_off_later_is_named(folder: Path) -> None:
    store = FeatureStore(folder)
    path = folder / "shards" / "shard-000002.tar"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"shard-000002.tar must have \d+ bytes of features at"):
        store["z"]


@pytest.mark.parametrize(
    "damage", [lambda content: bytes(len(content)), lambda content: content.replace(b"l_1", b"l_3")]
)
def test_a_shard_with_other_bytes_is_named(damage: Callable[[bytes], bytes], folder: Path) -> None:
    path = folder / "shards" / "shard-000002.tar"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"shard-000002.tar must have .* makes it anew"):
        FeatureStore(folder)["z"]


def test_webdataset_reads_the_shards(folder: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason='needs pip install -e ".[test]"')
    store = FeatureStore(folder)
    samples = list(webdataset.WebDataset(store.to_webdataset_urls(), shardshuffle=False))
    assert [sample["__key__"].removesuffix("/features") for sample in samples] == store.ids
    for sample, item in zip(samples, store, strict=True):
        read = safetensors.numpy.load(sample["safetensors"])
        _assert_equal([read["level_0"], read["level_1"]], item["features"])


def test_safetensors_reads_a_member_of_the_tar_file(folder: Path) -> None:
    import tarfile

    (url, *_) = FeatureStore(folder).to_webdataset_urls()
    with tarfile.open(url) as file:
        content = file.extractfile("street.jpg/features.safetensors")
        assert isinstance(content, io.BufferedIOBase)
        read = safetensors.numpy.load(content.read())
    _assert_equal([read["level_0"], read["level_1"]], _expected("street.jpg"))


def test_a_folder_without_a_store_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no feature store"):
        sd.datasets.FeatureStore(tmp_path / "none")


@pytest.mark.parametrize("absent", ["torch pyarrow", "cv2"])
def test_it_opens_without_any_model_and_without_torch(absent: str, folder: Path) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent.split()!r}))\n"
        "import swin_dense as sd\n"
        f"store = sd.datasets.FeatureStore({str(folder)!r})\n"
        "print(len(store), store['z']['features'][1].shape)\n"
        "heavy = ('torch', 'cv2', 'albumentations', 'swin_dense.heads', 'swin_dense.backbone')\n"
        "print([name for name in heavy if sys.modules.get(name) is not None])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["4 (4, 2, 5)", "[]"]
