"""Tests of decoding: every kind of file becomes uint8 RGB in the right orientation."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from swin_dense.datasets import images
from swin_dense.datasets.images import (
    image_size,
    init_worker,
    limit_pixels,
    read_image,
    read_stated_size,
)

HEIGHT, WIDTH = 24, 40


@pytest.fixture
def pixels() -> np.ndarray:
    """A smooth RGB image `(24, 40, 3)`: red rises to the right, green downwards, blue is 60."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([6 * x, 10 * y, np.full_like(x, 60)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("RGB", "png", 0),
        ("RGBA", "png", 0),
        ("RGB", "bmp", 0),
        ("RGB", "jpg", 6),
        ("CMYK", "jpg", 8),
    ],
)
def test_colour_files_become_rgb(
    pixels: np.ndarray, tmp_path: Path, mode: str, suffix: str, tolerance: int
) -> None:
    path = tmp_path / f"image.{suffix}"
    options = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {}
    Image.fromarray(pixels).convert(mode).save(path, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - pixels).max() <= tolerance


def test_palette_files_become_rgb(pixels: np.ndarray, tmp_path: Path) -> None:
    few_colours = pixels // 64 * 64
    palette = Image.fromarray(few_colours).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert (read_image(tmp_path / "palette.png") == few_colours).all()


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_files_get_three_equal_channels(pixels: np.ndarray, tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(pixels).convert("L")
    grey.convert(mode).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    assert (image == np.asarray(grey)[..., None]).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_to_eight(pixels: np.ndarray, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), pixels[..., ::-1].astype(np.uint16) * 257)
    assert (read_image(path) == pixels).all()


def _write_rotated(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, quality=98, subsampling=0, exif=exif)


def test_the_orientation_tag_is_applied_where_no_size_is_stated(
    pixels: np.ndarray, tmp_path: Path
) -> None:
    _write_rotated(tmp_path / "turned.jpg", pixels, 6)  # to be turned by 90 degrees clockwise
    image = read_image(tmp_path / "turned.jpg")
    assert image_size(image) == (WIDTH, HEIGHT)
    assert np.abs(image.astype(int) - np.rot90(pixels, -1)).max() <= 6


def test_the_stated_size_decides_between_turned_and_stored(
    pixels: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "turned.jpg"
    _write_rotated(path, pixels, 6)
    turned = read_image(path, stated_size=(WIDTH, HEIGHT))
    stored = read_image(path, stated_size=(HEIGHT, WIDTH))
    assert np.abs(turned.astype(int) - np.rot90(pixels, -1)).max() <= 6
    assert np.abs(stored.astype(int) - pixels).max() <= 6


def test_the_tag_is_applied_where_both_orientations_fit(pixels: np.ndarray, tmp_path: Path) -> None:
    _write_rotated(tmp_path / "upside_down.jpg", pixels, 3)
    image = read_image(tmp_path / "upside_down.jpg", stated_size=(HEIGHT, WIDTH))
    assert np.abs(image.astype(int) - pixels[::-1, ::-1]).max() <= 6


def test_another_size_than_stated_is_an_error_with_both_sizes(
    pixels: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / "image.png")
    with pytest.raises(ValueError, match=r"image\.png .* 41 x 24 .*, got 40 x 24"):
        read_image(tmp_path / "image.png", stated_size=(24, 41))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image at all", struct.pack("<256B", *range(256))])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.jpg cannot be read as an image"):
        read_image(tmp_path / "odd.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_cut_off_file_is_an_error_and_not_half_an_image(
    pixels: np.ndarray, tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.raises(ValueError, match="cut off"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_workers_use_one_opencv_thread() -> None:
    before = cv2.getNumThreads()
    try:
        init_worker(0)
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_an_image_beyond_the_limit_is_refused_before_it_is_decoded(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_max_pixels", images.max_pixels())  # put back behind the test
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    limit_pixels(0.0024)
    assert read_image(path).shape == (40, 60, 3)
    limit_pixels(0.0023)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=rf"a\{suffix} states 60 x 40 px .* --max-megapixels"):
        read_image(path)


@pytest.mark.parametrize("megapixels", [0, -1, float("nan"), float("inf"), 1e6])
def test_a_limit_that_cannot_be_is_refused(megapixels: float) -> None:
    with pytest.raises(ValueError, match=r"megapixels must be in 1e-06\.\.1073"):
        limit_pixels(megapixels)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
def test_the_stated_size_is_read_off_the_header_alone(
    pixels: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(pixels).save(path)
    assert read_stated_size(path) == (HEIGHT, WIDTH)
    if suffix not in ("tif", "webp"):  # one has its header at the end, one checks its length
        path.write_bytes(path.read_bytes()[:-10])
        assert read_stated_size(path) == (HEIGHT, WIDTH)


def test_what_is_no_image_states_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    assert read_stated_size(tmp_path / "a.jpg") is None
    assert read_stated_size(tmp_path / "none.jpg") is None
    assert read_stated_size(tmp_path) is None
