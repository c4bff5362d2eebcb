"""`index.parquet`: the same as the indexes of the shards, for any program."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from feature_shards import describe, write_feature_store

from swin_dense.datasets.features import parquet_index as module
from swin_dense.datasets.features.parquet_index import (
    has_pyarrow,
    join_indexes,
    read_index,
    write_index,
)

pq = pytest.importorskip("pyarrow.parquet", reason='needs pip install -e ".[features]"')
IMAGES = {"a.jpg": (20, 31), "b/ä.jpg": (8, 8), "bad.jpg": (1, 1), "c.jpg": (1, 1), "d": (9, 40)}


@pytest.mark.parametrize("rows", [1, 100])
def test_it_has_the_columns_of_the_shards(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    indexes = write_feature_store(tmp_path, IMAGES, bad=["bad.jpg"])
    write_index(tmp_path, describe(), indexes, num_shards=3)
    read, joined = read_index(tmp_path, num_shards=3), join_indexes(indexes)
    assert read.ids.to_pylist() == joined.ids == ["a.jpg", "b/ä.jpg", "c.jpg", "d"]
    assert read.errors == joined.errors == {"bad.jpg": "bad.jpg is broken"}
    assert [read.shard_names[number] for number in read.shards] == [
        joined.shard_names[number] for number in joined.shards
    ]
    np.testing.assert_array_equal(read.offsets, joined.offsets)
    np.testing.assert_array_equal(read.num_bytes, joined.num_bytes)


def test_reading_it_imports_no_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not there to be imported")
    indexes = write_feature_store(tmp_path, IMAGES, bad=["bad.jpg"])
    write_index(tmp_path, describe(), indexes, num_shards=3)
    code = (
        "import sys; from pathlib import Path\n"
        "from swin_dense.datasets.features.parquet_index import read_index\n"
        f"print(len(read_index(Path({str(tmp_path)!r}), num_shards=3).offsets))\n"
        "print('pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["4", "False"]


def test_other_programs_read_a_row_an_image(tmp_path: Path) -> None:
    indexes = write_feature_store(tmp_path, IMAGES, bad=["bad.jpg"])
    write_index(tmp_path, describe(), indexes, num_shards=3)
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["a.jpg", "b/ä.jpg", "c.jpg", "bad.jpg", "d"]
    assert rows[0] == {
        "id": "a.jpg",
        "shard": "shards/shard-000000.tar",
        "offset": 512,
        "num_bytes": indexes[0].num_bytes[0],
        "shapes": [[2, 5, 8], [4, 3, 4]],
        "dtype": "float16",
        "size": [20, 31],
        "original_size": [40, 62],
        "error": None,
    }
    assert rows[3] | {"shard": ""} == {
        **dict.fromkeys(rows[0]),
        "id": "bad.jpg",
        "shard": "",
        "error": "bad.jpg is broken",
    }


def test_the_index_of_another_state_of_the_store_is_none(tmp_path: Path) -> None:
    indexes = write_feature_store(tmp_path, IMAGES)
    assert read_index(tmp_path, num_shards=3) is None
    write_index(tmp_path, describe(), indexes, num_shards=3)
    assert read_index(tmp_path, num_shards=4) is None
    (tmp_path / "index.parquet").write_bytes(b"PAR1 cut off")
    assert read_index(tmp_path, num_shards=3) is None


def test_without_images_it_has_no_rows(tmp_path: Path) -> None:
    write_index(tmp_path, describe(), [], num_shards=0)
    assert len(read_index(tmp_path, num_shards=0).shards) == 0


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail():
        raise OSError("the disk is full")
        yield

    with pytest.raises(OSError, match="the disk is full"):
        write_index(tmp_path, describe(), fail(), num_shards=0)
    assert list(tmp_path.iterdir()) == []


def test_pyarrow_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_pyarrow()
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert not has_pyarrow()
