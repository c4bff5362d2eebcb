"""BatchNorm over the images of all processes (Peng et al. 2018, MegDet), as UPerNet was trained."""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from swin_dense.heads.whole_model import Model


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm whose statistics in training are those of all processes' maps together.

    For the CPU, where `nn.SyncBatchNorm` does not work. The gradient is exact: it crosses the
    processes as the statistics do. Each process may have another number of pixels.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `(B, C, H, W)`; in eval mode as `nn.BatchNorm2d`."""
        if not self.training:
            return super().forward(input)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        maps = input.float()
        count = maps.new_tensor([maps.numel() / maps.shape[1]])
        sums = _sum_over_processes(torch.cat([maps.sum(dim=(0, 2, 3)), count]))  # (C + 1,)
        total = sums[-1].detach()
        mean = sums[:-1] / total  # (C,)
        # A second pass: the mean square less the squared mean loses digits.
        centred = maps - mean[:, None, None]
        variance = _sum_over_processes(centred.square().sum(dim=(0, 2, 3))) / total  # (C,)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * total / (total - 1).clamp(min=1), self.momentum)
        normalised = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        scaled = normalised * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)


def synchronise_norms(model: Model, *, num_processes: int, device: torch.device) -> Model:
    """Let BatchNorm normalise over the images of all processes, as the published models did.

    The names of the parameters stay. The model is changed; one process changes nothing.
    """
    if num_processes == 1:
        return model
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _shared(child))
    return model


def _shared(norm: nn.BatchNorm2d) -> SharedBatchNorm2d:
    shared = SharedBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    shared.weight, shared.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        shared.register_buffer(name, buffer)
    return shared


class _SumOverProcesses(torch.autograd.Function):
    """The sum of every process's tensor, in every process; so is the gradient of each."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        del context
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        del context
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def _sum_over_processes(values: Tensor) -> Tensor:
    return _SumOverProcesses.apply(values)
