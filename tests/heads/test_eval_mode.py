"""Eval mode for a while."""

import pytest
from torch import nn

from swin_dense.heads.eval_mode import in_eval_mode


def test_each_part_is_in_eval_mode_inside_and_has_its_mode_back_after() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm2d(2)))
    model[1].eval()
    before = [module.training for module in model.modules()]
    with in_eval_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before == [True, True, False, False]


def test_modes_come_back_after_an_error() -> None:
    model = nn.Dropout()
    with pytest.raises(ValueError, match="inside"), in_eval_mode(model):
        raise ValueError("inside")
    assert model.training
