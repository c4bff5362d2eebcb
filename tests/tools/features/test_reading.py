"""Images read ahead: in order, in bounded memory, and bad files as messages."""

import errno
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from feature_extraction import draw_image, write_images

from swin_dense.datasets.features.inputs import ImageFile, find_images
from swin_dense.tools.features import reading as module
from swin_dense.tools.features.reading import LoadedImage, ReadAhead, load_image

SIZES = {f"{number:02}.png": (4 + number % 3, 5) for number in range(30)}


@pytest.fixture
def files(tmp_path: Path) -> list[ImageFile]:
    return list(find_images([write_images(tmp_path / "images", SIZES)]).values())


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_images_come_in_order(num_workers: int, files: list[ImageFile]) -> None:
    with ReadAhead(files, scale=None, num_workers=num_workers) as images:
        read = list(images)
    assert [image.file for image in read] == files
    for seed, image in enumerate(read):
        np.testing.assert_array_equal(image.pixels, draw_image((4 + seed % 3, 5), seed=seed))
        assert image.original_size == (4 + seed % 3, 5)


def test_images_are_resized_and_keep_their_original_size(files: list[ImageFile]) -> None:
    image = load_image(files[0], scale=(10, 10))
    assert image.pixels.shape == (8, 10, 3)
    assert image.original_size == (4, 5)


def _count_waiting(files: list[ImageFile], monkeypatch: pytest.MonkeyPatch, *, held: int) -> int:
    """Images that have been read when one has been used, for so many bytes that may wait."""
    monkeypatch.setattr(module, "_HELD", held)
    started = []

    def load(file: ImageFile, *, scale: object) -> LoadedImage:
        started.append(file)
        return LoadedImage(file, np.empty((10, 10, 3), np.uint8), (10, 10))

    monkeypatch.setattr(module, "load_image", load)
    with ReadAhead(files, scale=None, num_workers=3) as images:
        next(iter(images))
        time.sleep(0.1)
        return len(started)


def test_no_more_waits_than_fits_into_memory(
    files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 3 <= _count_waiting(files, monkeypatch, held=600) <= 1 + 2 + 3  # 300 bytes each
    assert _count_waiting(files, monkeypatch, held=1 << 20) == len(files)


def test_one_image_larger_than_the_memory_is_read(
    files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HELD", 1)
    with ReadAhead(files, scale=None, num_workers=3) as images:
        assert len(list(images)) == len(files)


def test_leaving_early_ends_the_threads(files: list[ImageFile]) -> None:
    with ReadAhead(files, scale=None, num_workers=2) as images:
        next(iter(images))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def test_opencv_is_left_as_it_was(files: list[ImageFile]) -> None:
    cv2.setNumThreads(2)
    with ReadAhead(files, scale=None, num_workers=2) as images:
        list(images)
    assert cv2.getNumThreads() == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", "bad.jpg cannot be read as an image: it is cut off, damaged or no image"),
        (b"", "bad.jpg cannot be read as an image: it is cut off, damaged or no image"),
        (None, "no image file bad.jpg"),
    ],
)
def test_a_bad_image_is_a_message_without_its_folder(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
    image = load_image(ImageFile("bad.jpg", str(tmp_path / "bad.jpg"), str(tmp_path)), scale=None)
    assert (image.error, image.pixels.size) == (message, 0)


def test_an_image_that_is_cut_off_is_a_message(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": (50, 50)})
    path = tmp_path / "a.png"
    path.write_bytes(path.read_bytes()[:2000])
    assert "cut off" in load_image(ImageFile("a.png", str(path), str(tmp_path)), scale=None).error


def test_an_image_of_another_size_than_annotated_is_a_message(files: list[ImageFile]) -> None:
    file = files[0]._replace(stated_size=(9, 9))
    assert "must have the size its annotations state, 9 x 9" in load_image(file, scale=None).error


def test_a_folder_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    file = ImageFile("a.jpg", str(tmp_path / "gone" / "a.jpg"), str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"the input folder .*gone is gone"):
        load_image(file, scale=None)


def test_trouble_that_will_pass_stops_the_run(
    files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "read_image", fail)
    with (
        pytest.raises(OSError, match="Too many open files"),
        ReadAhead(files, scale=None, num_workers=2) as images,
    ):
        list(images)
