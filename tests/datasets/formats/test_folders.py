"""Folders as people unpack them."""

from pathlib import Path

from swin_dense.datasets.formats.folders import (
    entries,
    find_images,
    innermost_folder,
    subfolders,
    top_folders,
)


def _write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_what_a_system_leaves_behind_is_no_entry(tmp_path: Path) -> None:
    _write(tmp_path, "b.jpg", "a/c.jpg", ".DS_Store", "__MACOSX/b.jpg", "Thumbs.db")
    assert [path.name for path in entries(tmp_path)] == ["a", "b.jpg"]
    assert subfolders(tmp_path) == [tmp_path / "a"]
    assert subfolders(tmp_path / "absent") == []


def test_a_single_folder_is_gone_into_and_no_other(tmp_path: Path) -> None:
    _write(tmp_path, "export/set/images/a.jpg", "export/set/labels/a.txt", "export/.hidden")
    inner = tmp_path / "export" / "set"
    assert list(top_folders(tmp_path)) == [tmp_path, tmp_path / "export", inner]
    assert innermost_folder(tmp_path) == inner
    assert list(top_folders(tmp_path / "absent")) == [tmp_path / "absent"]


def test_a_link_to_a_folder_above_comes_to_an_end(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(list(top_folders(tmp_path))) < 20
    _write(tmp_path, "b.png", "a.txt")
    assert find_images(tmp_path)[-1] == tmp_path / "b.png"
