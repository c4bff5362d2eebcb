"""Output folders: refused before the work, held by one run, files whole or not there."""

from pathlib import Path

import pytest

from swin_dense.tools.files import (
    UniqueNames,
    atomic_write,
    hold,
    make_file_writable,
    make_writable,
)


def test_a_folder_is_made_with_those_above_it_and_left_empty(tmp_path: Path) -> None:
    folder = make_writable(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert list(folder.iterdir()) == []
    assert make_writable(folder) == folder


def test_what_cannot_be_a_folder_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"output folder must be writable, got .*file"):
        make_writable(tmp_path / "file")
    with pytest.raises(ValueError, match=r"output file must not be a folder, got"):
        make_file_writable(tmp_path)
    path = make_file_writable(tmp_path / "new" / "scores.json")
    assert path.parent.is_dir()
    assert not path.exists()


def test_a_text_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    for text in ("château\nforêt\n", ""):
        atomic_write(path, text)
        assert path.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    atomic_write(path, "good\n")
    with pytest.raises(UnicodeEncodeError):
        atomic_write(path, "half \ud800")
    assert path.read_text() == "good\n"


def test_a_folder_is_held_by_one_run_until_it_ends(tmp_path: Path) -> None:
    in_use = pytest.raises(ValueError, match="is in use by a live run")
    with hold(tmp_path), in_use, hold(tmp_path):
        pytest.fail("held twice")
    with hold(tmp_path):
        pass


def test_two_inputs_of_one_name_get_two_paths(tmp_path: Path) -> None:
    names = UniqueNames(tmp_path)
    claimed = [names.claim(name, (".png", ".jpg")) for name in ("a.jpg", "a.jpg", "a.bmp", "b/c")]
    assert claimed == [tmp_path / name for name in ("a.jpg", "a_2.jpg", "a.png", "b/c.png")]
    assert (tmp_path / "b").is_dir()
