"""The auxiliary head."""

import torch

from swin_dense.heads.segmentation.uper.fcn_head import FCNHead


def test_logits_have_one_channel_per_class_at_the_level_s_size(generator):
    head = FCNHead(6, 5, channels=4, dropout=0.1)
    assert head(torch.randn(2, 6, 7, 9, generator=generator)).shape == (2, 5, 7, 9)


def test_keys_are_the_published_ones():
    keys = {key.rsplit(".", 1)[0] for key in FCNHead(6, 5, channels=4, dropout=0.1).state_dict()}
    assert keys == {"convs.0.conv", "convs.0.bn", "conv_seg"}


def test_dropout_takes_whole_channels_in_training_only(generator):
    head = FCNHead(6, 5, channels=4, dropout=0.5)
    maps = torch.randn(2, 6, 3, 3, generator=generator)
    assert not torch.equal(head(maps), head(maps))
    head.eval()
    assert torch.equal(head(maps), head(maps))


def test_gradient_reaches_every_parameter(generator):
    head = FCNHead(3, 2, channels=4, dropout=0.0)
    head(torch.randn(2, 3, 4, 4, generator=generator)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
