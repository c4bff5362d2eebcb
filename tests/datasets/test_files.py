"""The door for files: pipes, sockets and devices are refused before they are opened."""

import os
import socket
from pathlib import Path

import pytest

from swin_dense.datasets.categories import read_classes
from swin_dense.datasets.files import check_file, read_text
from swin_dense.datasets.formats.coco_file import read_coco
from swin_dense.datasets.images import read_image
from swin_dense.datasets.label_maps import read_class_numbers, read_image_header


def test_a_pipe_a_device_and_a_socket_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)  # a socket's path may have some hundred letters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for name, kind in (
            ("pipe", "a named pipe"),
            ("device", "a device"),
            ("socket", "a socket"),
        ):
            for read in (read_image, read_image_header, read_class_numbers, read_coco):
                with pytest.raises(
                    ValueError, match=f"{name} must be an ordinary file, got {kind}"
                ):
                    read(tmp_path / name)


def test_a_class_list_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "classes.txt")
    with pytest.raises(ValueError, match="must be an ordinary file, got a named pipe"):
        read_classes(tmp_path)


def test_links_to_files_are_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffnames", encoding="utf-8")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    assert read_text(tmp_path / "b.txt", "list") == "names"


@pytest.mark.parametrize("name", ["gone", "a\0b", "x" * 3000])
def test_a_name_that_no_file_has_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match="no list"):
        check_file(tmp_path / name, "list")
