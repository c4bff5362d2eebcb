import pytest
import torch

import swin_dense as sd
from swin_dense.padding import PIXEL_MEAN, PIXEL_STD


def make_images(generator, *sizes):
    return [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]


def test_batch_holds_normalised_images_and_zeros(generator):
    images = make_images(generator, (33, 20), (10, 64))
    batch = sd.batch_images(images)
    assert batch.pixels.shape == (2, 3, 64, 64)
    assert batch.pixels.dtype == torch.float32
    assert batch.sizes == ((33, 20), (10, 64))
    mean, std = torch.tensor(PIXEL_MEAN)[:, None, None], torch.tensor(PIXEL_STD)[:, None, None]
    for pixels, image in zip(batch.pixels, images, strict=True):
        height, width = image.shape[1:]
        expected = torch.zeros(3, 64, 64)
        expected[:, :height, :width] = (image.float() - mean) / std
        torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-6)  # one rounding


def test_float_images_count_the_same_range(generator):
    (image,) = make_images(generator, (5, 7))
    assert torch.equal(sd.batch_images([image]).pixels, sd.batch_images([image.float()]).pixels)


@pytest.mark.parametrize(("size", "padded"), [((1, 1), (32, 32)), ((32, 64), (32, 64))])
def test_sides_are_padded_to_a_multiple(size, padded, generator):
    assert sd.batch_images(make_images(generator, size)).pixels.shape[2:] == padded
    exact = sd.batch_images(make_images(generator, size), size_divisor=1)
    assert exact.pixels.shape[2:] == size


def test_crop_takes_the_padding_off(generator):
    batch = sd.batch_images(make_images(generator, (33, 20), (10, 64)))
    assert [tuple(image.shape) for image in batch] == [(3, 33, 20), (3, 10, 64)]
    maps = torch.randn(2, 5, 16, 16, generator=generator)
    assert [tuple(m.shape) for m in batch.crop(maps, stride=4)] == [(5, 9, 5), (5, 3, 16)]
    assert torch.equal(batch.crop(maps, stride=4)[1], maps[1, :, :3])


def test_a_batch_can_be_moved_to_another_float_type(generator):
    batch = sd.batch_images(make_images(generator, (33, 20)))
    moved = batch.to("cpu", torch.bfloat16)
    assert moved.pixels.dtype == torch.bfloat16
    assert moved.sizes == batch.sizes
    assert batch.to("cpu").pixels.dtype == torch.float32


@pytest.mark.parametrize(
    ("sizes", "size_divisor", "message"),
    [
        (((8, 8),), 32, "one an image, got 1 for 2 images"),
        (((8, 8), (9, 8)), 32, "within the 8 x 16 px of the batch, got 9 x 8 for image 1"),
        (((8, 8), (8, 17)), 32, "got 8 x 17 for image 1"),
        (((0, 8), (8, 8)), 32, "got 0 x 8 for image 0"),
        (((8, 8), (8, 8)), 0, "size_divisor must be at least 1, got 0"),
    ],
)
def test_a_batch_of_sizes_that_its_pixels_have_not_is_refused(sizes, size_divisor, message):
    with pytest.raises(ValueError, match=message):
        sd.ImageBatch(torch.zeros(2, 3, 8, 16), sizes, size_divisor)


def test_each_image_is_padded_by_itself_and_never_beyond_the_batch():
    batch = sd.ImageBatch(torch.zeros(4, 3, 40, 64), ((1, 1), (33, 20), (32, 64), (8, 40)))
    assert batch.padded_sizes == ((32, 32), (40, 32), (32, 64), (32, 64))
    assert batch.to("cpu").size_divisor == 32


def test_crop_refuses_maps_of_another_batch(generator):
    batch = sd.batch_images(make_images(generator, (33, 20)))
    with pytest.raises(ValueError, match="got 2 for 1 images"):
        batch.crop(torch.zeros(2, 1, 64, 64))
    with pytest.raises(ValueError, match="at least 9 x 5 for image 0, got 8 x 8"):
        batch.crop(torch.zeros(1, 1, 8, 8), stride=4)


def test_backbone_does_not_see_how_an_image_was_batched(generator):
    # Padding to a multiple of 32 becomes real tokens, as in the references; equal sizes share it.
    backbone = sd.create_backbone(sd.SwinConfig(embed_dim=8, num_heads=(1, 2, 4, 8))).eval()
    images = make_images(generator, (40, 50), (64, 33))
    together = sd.batch_images(images)
    with torch.no_grad():
        alone = [backbone(sd.batch_images([image]).pixels)[0][0] for image in images]
        among = backbone(together.pixels)[0]
    for a, b in zip(alone, among, strict=True):
        torch.testing.assert_close(a, b[:, : a.shape[1], : a.shape[2]], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device_is_never_waited_for(generator):
    images = [image.pin_memory() for image in make_images(generator, (33, 20), (10, 64))]
    expected = sd.batch_images(images, device="cuda")  # the first call makes the constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = sd.batch_images(images, device="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(batch.pixels, expected.pixels)
    torch.testing.assert_close(batch.pixels.cpu(), sd.batch_images(images).pixels)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "at least one"),
        (torch.zeros(2, 3, 4, 4), r"must be a list.*got a tensor \(2, 3, 4, 4\)"),
        ([torch.zeros(4, 4, 3, dtype=torch.uint8)], r"image 0 must be \(3, H, W\)"),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 0, 4)], "image 1 .* every side at least 1"),
        ([torch.zeros(3, 4, 4, dtype=torch.int32)], "uint8 or floating point, got torch.int32"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        sd.batch_images(images)


def test_size_divisor_must_be_positive(generator):
    with pytest.raises(ValueError, match="size_divisor must be at least 1, got 0"):
        sd.batch_images(make_images(generator, (4, 4)), size_divisor=0)
