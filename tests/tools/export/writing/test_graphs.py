"""The graph of each part, and what has none."""

import pytest
import torch
from exported_models import BACKBONE

import swin_dense as sd
from swin_dense.tools.export.writing.graphs import make_graph

DETECTOR_BACKBONE = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def detector() -> sd.heads.Model:
    torch.manual_seed(0)
    config = sd.heads.MaskRCNNConfig(backbone=DETECTOR_BACKBONE, num_classes=2, fpn_channels=8)
    return sd.heads.create_model(config).eval()


def draw_images(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def test_a_backbone_gives_what_it_gives_of_normalised_pixels() -> None:
    backbone = sd.SwinTransformer(BACKBONE).eval()
    image = draw_images(2, 33, 50)
    expected = backbone(sd.batch_images(list(image), size_divisor=1).pixels)
    graph = make_graph(backbone, "backbone")
    assert graph.outputs == ("level0", "level1")
    for level, maps in zip(graph.expected(image).values(), expected, strict=True):
        torch.testing.assert_close(level, maps, rtol=1e-4, atol=1e-5)


def test_a_pyramid_is_that_of_the_padded_image_without_the_padding(
    detector: sd.heads.Model,
) -> None:
    image = draw_images(1, 70, 45)
    graph = make_graph(detector, "pyramid")
    levels = graph.expected(image)
    with torch.no_grad():
        padded = detector.neck(detector.backbone(sd.batch_images(list(image)).pixels))
    assert [tuple(level.shape[2:]) for level in levels.values()] == [
        *((18, 12), (9, 6), (5, 3), (3, 2), (2, 1))
    ]
    for level, maps in zip(levels.values(), padded, strict=True):
        height, width = level.shape[2:]
        torch.testing.assert_close(level, maps[:, :, :height, :width], rtol=1e-4, atol=1e-5)


def test_a_part_that_is_not_there_is_refused() -> None:
    backbone = sd.SwinTransformer(BACKBONE)
    with pytest.raises(ValueError, match=r"--part model must have weights of a whole model"):
        make_graph(backbone, "model")
    segmentor = sd.heads.create_model(
        sd.heads.UPerNetConfig(backbone=BACKBONE, auxiliary_channels=None, decoder_channels=8)
    )
    with pytest.raises(ValueError, match=r"--part pyramid .* got those of a upernet"):
        make_graph(segmentor, "pyramid")
    assert make_graph(segmentor, "model").outputs == ("logits", "label_map")
