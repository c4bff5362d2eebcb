"""The assembled segmentor: losses, padding, predictions."""

import dataclasses
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import swin_dense as sd
from swin_dense.heads import MODEL_VARIANTS, create_model
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
from swin_dense.heads.segmentation.uper.upernet import UPerNet

CONFIG = UPerNetConfig(
    backbone=sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
    num_classes=4,
    decoder_channels=8,
    auxiliary_channels=8,
)


def make_model(**changes) -> UPerNet:
    torch.manual_seed(0)
    model = UPerNet(dataclasses.replace(CONFIG, **changes))
    for head in (model.decode_head, model.auxiliary_head):
        if head is not None:
            torch.nn.init.normal_(head.conv_seg.weight)
    return model


def random_image(generator: torch.Generator, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def random_labels(generator: torch.Generator, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 4, (height, width), generator=generator)


def test_losses_average_over_all_pixels_and_weigh_the_auxiliary_head(generator):
    model = make_model().eval()
    image, labels = random_image(generator, 40, 56), random_labels(generator, 40, 56)
    labels[:10] = 255
    losses = model([image], [labels])
    features = model.backbone(sd.batch_images([image], size_divisor=1).pixels)
    expected = {}
    for name, logits, weight in [
        ("loss_seg", model.decode_head(features), 1.0),
        ("loss_aux", model.auxiliary_head(features[2]), 0.4),
    ]:
        logits = F.interpolate(logits, (40, 56), mode="bilinear", align_corners=False)
        total = F.cross_entropy(logits, labels[None], ignore_index=255, reduction="sum")
        expected[name] = weight * total / labels.numel()
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5)


def test_images_of_different_size_are_padded_and_the_padding_is_ignored(generator):
    model = make_model().eval()
    sizes = [(40, 56), (33, 64)]
    images = [random_image(generator, *size) for size in sizes]
    labels = [random_labels(generator, *size) for size in sizes]
    padded = torch.full((2, 40, 64), 255)
    padded[0, :, :56], padded[1, :33] = labels
    batch = sd.batch_images(images, size_divisor=1)
    whole = sd.ImageBatch(batch.pixels, ((40, 64), (40, 64)))
    losses, expected = model(images, labels), model(whole, list(padded))
    for name in losses:
        torch.testing.assert_close(losses[name], expected[name])


def test_label_maps_that_are_all_ignored_give_zero(generator):
    model = make_model()
    images = [random_image(generator, 32, 32) for _ in range(2)]
    losses = model(images, [torch.full((32, 32), 255)] * 2)
    assert {name: value.item() for name, value in losses.items()} == {"loss_seg": 0, "loss_aux": 0}
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_one_image_of_one_pixel_can_be_trained_on(generator):
    losses = make_model()([random_image(generator, 1, 1)], [torch.zeros(1, 1, dtype=torch.int64)])
    assert all(torch.isfinite(value) for value in losses.values())


def test_without_auxiliary_head_there_is_one_loss(generator):
    model = make_model(auxiliary_channels=None)
    images = [random_image(generator, 32, 32) for _ in range(2)]
    assert list(model(images, [random_labels(generator, 32, 32)] * 2)) == ["loss_seg"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "one label map per image, got 0 for 1"),
        ([torch.zeros(8, 9, dtype=torch.int64)], r"label map 0 must be int64 of its image's size"),
        ([torch.zeros(8, 8)], "must be int64"),
        ([torch.full((8, 8), 4)], r"labels must be in 0..3 or 255, got \[4\] in label map 0"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(labels, message, generator):
    with pytest.raises(ValueError, match=message):
        make_model()([random_image(generator, 8, 8)], labels)


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_a_label_map_does_not_depend_on_the_other_images(mode, generator):
    model = make_model().eval()
    sizes = [(40, 56), (33, 64), (40, 56), (1, 1)]
    images = [random_image(generator, *size) for size in sizes]
    options = {"mode": mode, "crop": (32, 32), "stride": (20, 20)}
    together = model.predict(images, **options)
    from_batch = model.predict(sd.batch_images(images), **options)
    for image, size, found, other in zip(images, sizes, together, from_batch, strict=True):
        alone = model.predict([image], **options)[0]
        assert found.shape == size
        assert found.dtype == torch.int64
        assert (found == alone).float().mean() >= 0.999
        assert (other == alone).float().mean() >= 0.999


def test_the_decoder_runs_once_for_each_size_on_maps_without_padding(generator):
    model, seen = make_model().eval(), []
    model.decode_head.register_forward_pre_hook(
        lambda _, inputs: seen.append([tuple(maps.shape) for maps in inputs[0]])
    )
    sizes = [(40, 56), (33, 64), (40, 56), (1, 1)]
    model.predict([random_image(generator, *size) for size in sizes])
    expected = [
        [(num, 8 * 2**i, -(-height // 2 ** (i + 2)), -(-width // 2 ** (i + 2))) for i in range(4)]
        for num, height, width in ((2, 40, 56), (1, 33, 64), (1, 1, 1))
    ]
    assert seen == expected


def test_logits_of_a_batch_are_those_of_each_image(generator):
    model = make_model().eval()
    sizes = [(40, 56), (33, 64), (40, 56), (129, 90), (1, 1)]
    images = [random_image(generator, *size) for size in sizes]

    def logits(images):
        found = []
        with pytest.MonkeyPatch.context() as monkeypatch:
            decode = UPerNet._decode
            monkeypatch.setattr(
                UPerNet, "_decode", lambda *args: found.append(decode(*args)) or found[-1]
            )
            model.predict(images)
        return found

    first, second, third, fourth = logits(images)
    together = [first[0], second[0], first[1], third[0], fourth[0]]
    for image, found in zip(images, together, strict=True):
        alone = logits([image])[0][0]
        assert (found - alone).abs().max() < 1e-5 * alone.abs().max()


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_label_maps_come_in_the_original_size(mode, generator):
    model = make_model().eval()
    images = [random_image(generator, 40, 56), random_image(generator, 40, 56)]
    found = model.predict(images, original_sizes=[(80, 113), (20, 28)], mode=mode)
    assert [tuple(labels.shape) for labels in found] == [(80, 113), (20, 28)]


def test_one_window_as_large_as_the_image_equals_the_whole_image(generator):
    model = make_model().eval()
    image = random_image(generator, 40, 56)
    whole = model.predict([image])[0]
    assert torch.equal(model.predict([image], mode="slide", crop=(512, 512))[0], whole)


def test_one_view_without_mirror_equals_the_whole_image(generator):
    model = make_model().eval()
    image = random_image(generator, 40, 56)
    found = model.predict_multi_scale([image], original_size=(40, 56), mirror=False)
    assert torch.equal(found, model.predict([image])[0])


def test_multi_scale_averages_the_mirrored_view_too(generator):
    model = make_model().eval()
    image = random_image(generator, 40, 56)
    found = model.predict_multi_scale([image], original_size=(40, 56))
    with torch.no_grad():
        pixels = sd.batch_images([image, image.flip(-1)], size_divisor=1).pixels
        logits = model.decode_head(model.backbone(pixels))
    scores = F.interpolate(logits, (40, 56), mode="bilinear", align_corners=False).softmax(dim=1)
    expected = (scores[0] + scores[1].flip(-1)).argmax(dim=0)
    assert (found == expected).float().mean() >= 0.999


def test_predictions_ignore_the_mode_and_leave_it_as_it_was(generator):
    model = make_model().train()
    model.auxiliary_head.eval()
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    image = random_image(generator, 40, 56)
    found = model.predict([image])[0]
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(found, model.eval().predict([image])[0])


def test_autocast_predicts_nearly_the_same(generator):
    model = make_model().eval()
    image = random_image(generator, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.predict([image])[0]
        losses = model([image], [random_labels(generator, 64, 64)])
    assert all(value.dtype == torch.float32 for value in losses.values())
    # bfloat16 keeps 8 bits, and random classes are close.
    assert (found == model.predict([image])[0]).float().mean() >= 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tiles"}, "unknown mode 'tiles'; choose one of whole, slide"),
        ({"mode": "slide", "crop": (8, 8), "stride": (9, 8)}, r"stride must be in 1..crop"),
        ({"original_sizes": []}, "must be one an image, got 0 for 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message, generator):
    with pytest.raises(ValueError, match=message):
        make_model().predict([random_image(generator, 8, 8)], **options)


def test_no_views_are_refused():
    with pytest.raises(ValueError, match="views must hold at least one image"):
        make_model().predict_multi_scale([], original_size=(8, 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 0}, "num_classes must be in 1..255, got 0"),
        ({"num_classes": 256}, "num_classes must be in 1..255, got 256"),
        ({"decoder_channels": 0}, "decoder_channels must be positive"),
        ({"auxiliary_channels": 0}, "auxiliary_channels must be positive"),
        ({"pool_scales": ()}, "pool_scales must be positive"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"auxiliary_weight": -1.0}, "auxiliary_weight must not be negative"),
    ],
)
def test_configs_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)


def test_class_names_must_be_one_per_class():
    with pytest.raises(ValueError, match="one entry for each of 4 classes, got 1"):
        UPerNet(CONFIG, class_names=["wall"])


def test_variants_have_the_published_width():
    assert MODEL_VARIANTS["upernet_swin_b"].decoder_channels == 512
    with torch.device("meta"):
        model = create_model("upernet_swin_t", num_classes=150)
    # Liu et al. 2021, Table 3: 60 M parameters, with the auxiliary head.
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == 60


MEASURE = """
import resource, sys, torch
from swin_dense.configs import SwinConfig
from swin_dense.heads.segmentation.uper.upernet import UPerNet
from swin_dense.heads.segmentation.uper.config import UPerNetConfig
backbone = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
model = UPerNet(UPerNetConfig(backbone=backbone, num_classes=150, decoder_channels=8))
image = torch.zeros(3, 64, 64, dtype=torch.uint8)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
model.predict([image])
before, size = peak(), (1000, 1200)
for mode in "whole", "slide":
    model.predict([image], original_sizes=[size], mode=mode, crop=(48, 48), stride=(16, 16))
model.predict_multi_scale([image], original_size=size)
print(peak() - before)
"""


def test_scores_of_all_classes_are_never_whole_in_memory():
    run = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    whole_scores = 150 * 1000 * 1200 * 4 / 2**20  # 687 MiB
    assert float(run.stdout) < 0.6 * whole_scores
