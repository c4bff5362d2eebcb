"""Reading of a feature store: any image by its id or place, without unpacking anything."""

import mmap
import sys
import threading
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from swin_dense.datasets.features.layout import SHARDS, TAR, read_store
from swin_dense.datasets.features.members import (
    StoredArray,
    array_names,
    copy_array,
    find_arrays,
)
from swin_dense.datasets.features.parquet_index import join_indexes, read_index
from swin_dense.datasets.features.shards import list_tar_files, read_whole_shards

if TYPE_CHECKING or sys.modules.get("torch") is not None:
    from torch.utils.data import Dataset
else:
    # Importing torch takes longer than opening a store of a million images, and reading needs none
    # of it. Nothing is lost: torch's class has no state, and loaders do not ask for it.

    class Dataset:
        """Stands in for torch's."""

        def __class_getitem__(cls, item: Any) -> Any:
            return cls


_MAPPED = 32  # shards that are kept mapped


class ImageFeatures(TypedDict, total=False):
    """Features of one image; the arrays belong to who asked for them.

    Keys:
        id: of the image.
        features: `(C, h, w)` of each level, fine to coarse; bfloat16 comes as float32.
        pooled: `(C,)` of each level, where the store was made with `--pool mean`.
        strides: of each level, px per cell.
        size: (height, width) of the image as the network saw it, px.
        original_size: (height, width) of the image in its file, px.
    """

    id: str
    features: list[np.ndarray]
    pooled: list[np.ndarray]
    strides: tuple[int, ...]
    size: tuple[int, int]
    original_size: tuple[int, int]


class FeatureStore(Dataset[ImageFeatures]):
    """Features that `swin-dense features` wrote; of a store that is still being written, so far.

    `store["street.jpg"]` and `store[0]` read one image, iteration goes in the order of storage. The
    store can be handed to worker processes, and is a `torch.utils.data.Dataset` if torch has been
    imported before; images differ in size, so a `DataLoader` takes `batch_size=None` or a
    `collate_fn`.

    Args:
        folder: of the store.
        levels: levels to read, of those that the store has; None: all. The others cost nothing.

    Attributes:
        folder: of the store.
        description: how the features were made: model, levels, strides, dtype, preprocessing.
        errors: message of each image that could not be read when the store was made, by id.

    Raises:
        FileNotFoundError: there is no store.
        ValueError: it is damaged, or has no such level.
    """

    def __init__(self, folder: str | PathLike[str], *, levels: Sequence[int] | None = None) -> None:
        self.folder = Path(folder)
        self.description = read_store(self.folder).description
        self._levels = self._choose(levels)
        self._has_vectors = self.description.pool != "none"
        shards = self.folder / SHARDS
        tar_files = list_tar_files(shards)
        columns = read_index(self.folder, num_shards=len(tar_files))
        if columns is None or not _are_whole(columns, tar_files):
            columns = join_indexes(read_whole_shards(shards, sorted(tar_files)))
        self.errors = columns.errors
        self._ids, self._shards, self._offsets = columns.ids, columns.shards, columns.offsets
        self._num_bytes, self._shard_names = columns.num_bytes, columns.shard_names
        self._start()

    def __len__(self) -> int:
        return len(self._shards)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._find_places()

    def __getitem__(self, key: int | str) -> ImageFeatures:
        """The features of an image, by its id or its place in the order of storage.

        Raises:
            KeyError: there is no such id.
            IndexError: there is no such place.
            ValueError: the shard is damaged.
        """
        if isinstance(key, str):
            place = self._find_places().get(key)
            if place is None:
                raise KeyError(self._explain(key))
            return self._read(place)
        if not isinstance(key, int | np.integer):
            raise TypeError(f"key must be an id or a place, got {type(key).__name__}")
        if not -len(self) <= key < len(self):
            raise IndexError(f"place must be in 0..{len(self) - 1}, got {key}")
        return self._read(int(key) % len(self))

    def __iter__(self) -> Iterator[ImageFeatures]:
        for place in range(len(self)):
            if place + 1 < len(self):  # the disk reads it meanwhile
                self._expect(place + 1)
            yield self._read(place)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.folder)!r}: {len(self)} images, {len(self.errors)} errors)"

    @property
    def ids(self) -> list[str]:
        """Ids of the images in the order of storage: paths relative to the folder they were in."""
        if not isinstance(self._ids, list):
            self._ids = self._ids.to_pylist()
        return self._ids

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the levels that are read, px per cell."""
        return tuple(self._of_level(self.description.strides, level) for level in self._levels)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the levels that are read."""
        return tuple(self._of_level(self.description.channels, level) for level in self._levels)

    def to_webdataset_urls(self) -> list[str]:
        """Paths of the shards, for `webdataset.WebDataset`.

        A sample's key is `ID/features`; its field `safetensors` holds the bytes that
        `safetensors.numpy.load` reads.
        """
        used = np.unique(self._shards)
        return [str(self._path(int(shard)).resolve()) for shard in used]

    def read_pooled(self, level: int) -> np.ndarray:
        """The vectors of a level of all images, without their maps: `(N, C)`, in storage order.

        Raises:
            ValueError: the store has no vectors, or no such level.
        """
        if not self._has_vectors:
            raise ValueError(
                f"{self.folder} must have one vector a level, got none; make a store with "
                "`swin-dense features --pool mean`"
            )
        (level,) = self._choose([level])
        dtype = np.float16 if self.description.dtype == "float16" else np.float32
        channels = self._of_level(self.description.channels, level)
        vectors = np.empty((len(self), channels), dtype)
        for place in range(len(self)):
            shard, arrays, _ = self._find(place)
            vectors[place] = copy_array(shard, arrays[f"pooled_{level}"])
        return vectors

    # ------------------------------------------------------------------------------------ reading

    def _read(self, place: int) -> ImageFeatures:
        shard, arrays, metadata = self._find(place)
        if len(self._levels) == len(self.description.levels):
            self._expect(place)
        names = array_names(self._levels, pooled=self._has_vectors)
        values = [copy_array(shard, arrays[name]) for name in names]
        first = len(self._levels) if self._has_vectors else 0
        item = ImageFeatures(
            id=metadata["id"],
            features=values[first:],
            strides=self.strides,
            size=tuple(metadata["size"]),
            original_size=tuple(metadata["original_size"]),
        )
        if self._has_vectors:
            item["pooled"] = values[:first]
        return item

    def _find(self, place: int) -> tuple[mmap.mmap, dict[str, StoredArray], dict[str, Any]]:
        """The map of an image's shard, its arrays in there, and what else is stored with them."""
        number, offset = int(self._shards[place]), int(self._offsets[place])
        shard, num_bytes = self._map(number), int(self._num_bytes[place])
        try:
            if len(shard) < offset + num_bytes:
                raise ValueError(f"the file ends at {len(shard)}")
            arrays, metadata = find_arrays(shard, offset=offset, num_bytes=num_bytes)
            missing = {*array_names(self.description.levels, pooled=self._has_vectors)} - {*arrays}
            if missing or not {"id", "size", "original_size"} <= {*metadata}:
                raise ValueError("parts of the features are missing")
        except ValueError as error:
            raise ValueError(
                f"{self._path(number)} must have {num_bytes} bytes of features at byte {offset}: "
                f"{error}; remove the file, and the same `swin-dense features` makes it anew"
            ) from error
        return shard, arrays, metadata

    def _expect(self, place: int) -> None:
        """Tell the system that all of an image is needed, so that it is read in one go."""
        offset, num_bytes = int(self._offsets[place]), int(self._num_bytes[place])
        start = offset - offset % mmap.PAGESIZE
        shard = self._map(int(self._shards[place]))
        if offset + num_bytes <= len(shard):
            shard.madvise(mmap.MADV_WILLNEED, start, offset + num_bytes - start)

    def _map(self, number: int) -> mmap.mmap:
        with self._lock:
            shard = self._mapped.pop(number, None)
            if shard is None:
                with self._path(number).open("rb") as file:
                    shard = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._mapped[number] = shard  # last in the order of use
            if len(self._mapped) > _MAPPED:
                del self._mapped[next(iter(self._mapped))]
            return shard

    def _path(self, number: int) -> Path:
        return self.folder / SHARDS / f"{self._shard_names[number]}{TAR}"

    # ---------------------------------------------------------------------------- ids and levels

    def _find_places(self) -> dict[str, int]:
        if len(self._places) != len(self):
            self._places = {image_id: place for place, image_id in enumerate(self.ids)}
        return self._places

    def _explain(self, image_id: str) -> str:
        if image_id in self.errors:
            return f"{image_id} has no features: {self.errors[image_id]}"
        return f"no image {image_id!r} among the {len(self)} of {self.folder}"

    def _choose(self, levels: Sequence[int] | None) -> tuple[int, ...]:
        stored = self.description.levels
        if levels is None:
            return stored
        if unknown := [level for level in levels if level not in stored]:
            raise ValueError(
                f"levels must be among {' '.join(map(str, stored))}, got {unknown[0]} for "
                f"{self.folder}"
            )
        return tuple(levels)

    def _of_level(self, values: tuple[int, ...], level: int) -> int:
        return values[self.description.levels.index(level)]

    # --------------------------------------------------------------------------------- processes

    def _start(self) -> None:
        self._places: dict[str, int] = {}  # filled when first an id is asked for
        self._mapped: dict[int, mmap.mmap] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        made_anew = ("_places", "_mapped", "_lock")
        return {name: value for name, value in vars(self).items() if name not in made_anew}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()


def _are_whole(columns: Any, tar_files: dict[str, int]) -> bool:
    """Tell whether each shard of the index is there with all its images."""
    ends = np.zeros(len(columns.shard_names), dtype=np.int64)
    np.maximum.at(ends, columns.shards, columns.offsets + columns.num_bytes)
    return all(
        tar_files.get(name, -1) >= end for name, end in zip(columns.shard_names, ends, strict=True)
    )
