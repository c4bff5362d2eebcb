"""Images for classification are decoded as Pillow does it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swin_dense.datasets.formats.classification.image_reading import read_rgb
from swin_dense.datasets.images import limit_pixels

_RANDOM = np.random.default_rng(0)
_PIXELS = _RANDOM.integers(0, 256, (12, 20, 3)).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "LA", "1"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_images_of_every_mode_are_those_of_pillow(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    try:
        Image.fromarray(_PIXELS).convert(mode).save(path)
    except (OSError, ValueError):
        pytest.skip(f"{suffix} files cannot be {mode}")
    found = read_rgb(path)
    expected = Image.open(path).convert("RGB")
    assert found.mode == "RGB"
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_images_of_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 60).reshape(6, 10).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    found = np.asarray(read_rgb(tmp_path / "deep.png"))
    assert found.shape == (6, 10, 3)
    assert np.abs(found[..., 0].astype(int) - values // 257).max() <= 1


def test_cameras_may_say_where_is_up(tmp_path: Path) -> None:
    image = Image.fromarray(_PIXELS)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    assert read_rgb(tmp_path / "turned.png").size == (12, 20)
    stored = read_rgb(tmp_path / "turned.png", upright=False)
    assert np.array_equal(np.asarray(stored), _PIXELS)


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    Image.fromarray(_PIXELS).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no image")
    for name in ("cut.jpg", "text.jpg"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as an image: it is cut off"):
            read_rgb(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"no image file .*none\.jpg"):
        read_rgb(tmp_path / "none.jpg")


def test_images_that_state_too_many_pixels_are_not_decoded(tmp_path: Path) -> None:
    Image.fromarray(_PIXELS).save(tmp_path / "large.png")
    limit_pixels(0.0001)
    try:
        with pytest.raises(ValueError, match=r"large\.png states 20 x 12 px"):
            read_rgb(tmp_path / "large.png")
    finally:
        limit_pixels(200)
