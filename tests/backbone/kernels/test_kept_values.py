"""Values kept of a parameter go when the parameter changes."""

import gc

import pytest
import torch
from torch import nn

from swin_dense.kernels import kept_values
from swin_dense.kernels.kept_values import KeepsValues, can_keep, kept_value


class Scale(KeepsValues):
    """A module that keeps the double of its one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.calls = 0

    def doubled(self, key: str = "double") -> torch.Tensor:
        def make() -> torch.Tensor:
            self.calls += 1
            return self.weight.detach() * 2

        return kept_value(self.weight, key, make)


def test_a_value_is_made_once_for_each_state_of_the_parameter():
    module = Scale().eval()
    assert all(torch.equal(module.doubled(), torch.full((3,), 2.0)) for _ in range(3))
    assert module.calls == 1
    with torch.no_grad():
        module.weight.add_(1)
    assert torch.equal(module.doubled(), torch.full((3,), 4.0))
    module.doubled("another")
    module.doubled()
    assert module.calls == 3


@pytest.mark.parametrize(
    "change", [lambda m: m.train(), lambda m: m.eval(), lambda m: m.double(), lambda m: m.to("cpu")]
)
def test_setting_the_mode_moving_and_casting_drop_what_is_kept(change):
    module = Scale()
    module.doubled()
    change(module)
    module.doubled()
    assert module.calls == 2


def test_a_value_goes_with_its_parameter():
    module = Scale()
    module.doubled()
    before = len(kept_values._kept)
    del module
    gc.collect()
    assert len(kept_values._kept) < before


def test_nothing_is_kept_where_a_gradient_is_to_reach_it():
    parameter = nn.Parameter(torch.zeros(3))
    assert not can_keep(parameter)
    with torch.no_grad():
        assert can_keep(parameter)
        assert not can_keep(nn.Parameter(torch.zeros(3).share_memory_(), requires_grad=False))
    with torch.inference_mode():
        assert can_keep(parameter)
        assert not can_keep(torch.zeros(3))
