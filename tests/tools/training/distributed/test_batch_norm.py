"""BatchNorm over processes: which module stands in, and that it is exact."""

from pathlib import Path
from typing import Any

import torch
from parallel_steps import normalise_parts
from torch import nn
from training_runs import call_together

from swin_dense.tools.training.distributed.batch_norm import SharedBatchNorm2d, synchronise_norms


def _model() -> Any:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4)))


def test_the_kind_of_norm_follows_processes_and_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    keys = list(_model().state_dict())
    for num_processes, device, kind in (
        *((1, gpu, nn.BatchNorm2d), (1, cpu, nn.BatchNorm2d)),
        *((2, gpu, nn.SyncBatchNorm), (2, cpu, SharedBatchNorm2d)),
    ):
        model = synchronise_norms(_model(), num_processes=num_processes, device=device)
        assert type(model[1][0]) is kind
        assert list(model.state_dict()) == keys


def test_a_shared_norm_keeps_parameters_and_statistics(generator: torch.Generator) -> None:
    model = _model()
    norm = model[1][0]
    norm.running_mean.fill_(3.0)
    norm.eps = 0.25
    shared = synchronise_norms(model, num_processes=2, device=torch.device("cpu"))[1][0]
    assert shared.weight is norm.weight
    assert shared.running_mean is norm.running_mean
    maps = torch.randn(2, 4, 3, 3, generator=generator)
    assert shared.eps == 0.25
    assert torch.equal(shared.eval()(maps), norm.eval()(maps))


def test_statistics_over_unequal_parts_and_gradients_are_exact(tmp_path: Path) -> None:
    call_together(normalise_parts, log=tmp_path / "log.txt")
