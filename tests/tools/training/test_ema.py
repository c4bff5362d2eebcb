"""The mean of the weights is torch's own, and steps aside without a trace."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from swin_dense.tools.training.ema import ModelEMA


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def _move(model: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)


def test_the_mean_is_that_of_the_averaged_model(generator: torch.Generator) -> None:
    model = _model()
    ema = ModelEMA(model, decay=0.75)
    reference = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    reference.update_parameters(model)  # its first update takes the weights as they are
    for _ in range(3):
        _move(model, generator)
        model(torch.randn(2, 3, 4, 4, generator=generator))
        ema.update()
        reference.update_parameters(model)
    expected = reference.module.state_dict()
    with ema.in_place():
        found = model.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_weights_come_back_as_they_were(generator: torch.Generator) -> None:
    model = _model()
    ema = ModelEMA(model, decay=0.5)
    _move(model, generator)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with ema.in_place():
        assert not torch.equal(model[0].weight, before["0.weight"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_is_loaded_while_the_mean_is_in_place_becomes_the_mean() -> None:
    model = _model()
    ema = ModelEMA(model, decay=0.5)
    weight = model[0].weight.detach().clone()
    with ema.in_place():
        nn.init.constant_(model[0].weight, 7.0)
    assert torch.equal(model[0].weight, weight)
    with ema.in_place():
        assert (model[0].weight == 7.0).all()
