"""Ours and torchvision's detector are one network but for how they pool."""

import torch
from measuring.detection_batches import draw_images, draw_targets
from peers.detectors import NAMES, spread_scores, training_step


def test_both_compute_the_same_maps(detectors) -> None:
    ours, theirs = (detectors[name].module for name in NAMES)
    pixels = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        pyramid, their_pyramid = ours.neck(ours.backbone(pixels)), theirs.backbone(pixels)
        for maps, their_maps in zip(pyramid, their_pyramid.values(), strict=True):
            torch.testing.assert_close(maps, their_maps, rtol=1e-4, atol=1e-5)
        outputs = ours.rpn_head(pyramid)
        logits, _ = theirs.rpn.head(list(their_pyramid.values()))
    their_logits = torch.cat([level.permute(0, 2, 3, 1).flatten(1) for level in logits], dim=1)
    torch.testing.assert_close(outputs.logits, their_logits, rtol=1e-4, atol=1e-5)


def test_both_compute_the_same_of_pooled_features(detectors) -> None:
    ours = detectors["swin_dense"].module.roi_head
    theirs = detectors["torchvision"].module.roi_heads
    with torch.no_grad():
        pooled = torch.randn(5, 16, 7, 7)
        logits, deltas = ours.bbox_head(pooled)
        their_logits, their_deltas = theirs.box_predictor(theirs.box_head(pooled))
        pooled = torch.randn(5, 16, 14, 14)
        masks = ours.mask_head(pooled)
        their_masks = theirs.mask_predictor(theirs.mask_head(pooled))
    torch.testing.assert_close(logits, their_logits.roll(-1, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(deltas.flatten(1), their_deltas[:, 4:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(masks, their_masks[:, 1:], rtol=1e-4, atol=1e-5)


def test_torchvision_neither_resizes_nor_pads_beyond_the_batch(detectors) -> None:
    transform = detectors["torchvision"].module.transform
    batch, _ = transform([image / 255 for image in draw_images([(50, 70), (64, 33)])])
    assert batch.tensors.shape == (2, 3, 64, 96)
    assert batch.image_sizes == [(50, 70), (64, 33)]


def test_spread_scores_let_as_many_boxes_pass_as_asked(detectors) -> None:
    images = draw_images([(96, 128), (64, 64)])
    spread_scores(detectors, images, num_candidates=40)
    ours, theirs = (detectors[name].module for name in NAMES)
    seen = []
    ours.roi_head.bbox_head.register_forward_hook(lambda *call: seen.append(call[2][0]))
    detectors["swin_dense"].predict(images)
    scores = torch.cat(seen).softmax(dim=1)[:, :-1]
    assert 70 <= int((scores > 0.05).sum()) <= 90
    for layer in ("weight", "bias"):
        our_layer = getattr(ours.roi_head.bbox_head.fc_cls, layer)
        assert torch.equal(
            getattr(theirs.roi_heads.box_predictor.cls_score, layer), our_layer.roll(1, 0)
        )
    for name in NAMES:
        assert all(len(result["scores"]) > 0 for result in detectors[name].predict(images))


def test_a_step_changes_the_weights_of_both(detectors) -> None:
    sizes = [(64, 96)]
    targets = draw_targets(sizes, num_classes=3, device=torch.device("cpu"))
    batch = (draw_images(sizes), targets)
    for name in NAMES:
        module = detectors[name].module
        before = {key: value.clone() for key, value in module.named_parameters()}
        training_step(detectors[name])([batch])
        assert module.training
        same = [key for key, value in module.named_parameters() if torch.equal(value, before[key])]
        assert same == []
