"""Steps that tests of several processes run in each; `training_runs.call_together` starts them."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, distributed, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.utils._python_dispatch import TorchDispatchMode

from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.models import create_model
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.runs.log import RunLog
from swin_dense.tools.tasks.evaluation import evaluate_model
from swin_dense.tools.tasks.table import find_task
from swin_dense.tools.training import loop
from swin_dense.tools.training.distributed.batch_norm import SharedBatchNorm2d
from swin_dense.tools.training.distributed.sharding import shard
from swin_dense.tools.training.distributed.sync_flags import ProcessFlags
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.setup import create_accelerator, distribute


class Line(nn.Module):
    """A model with one loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.pyramid = SimpleNamespace(blocks=list)  # sharding asks for a backbone's blocks

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"loss_fit": ((images * self.weight - targets) ** 2).mean()}


class ReduceScatters(TorchDispatchMode):
    """Counts how often sharded gradients are exchanged while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "reduce_scatter" in str(func)
        return func(*args, **(kwargs or {}))


def line_batches(num_steps: int) -> list[list[dict[str, Any]]]:
    """Four samples a step."""
    source = torch.Generator().manual_seed(0)
    return [
        [{"image_id": i, "x": torch.rand(2, generator=source).tolist()} for i in range(4)]
        for _ in range(num_steps)
    ]


def train_line(
    accelerator: Accelerator, batches: Sequence[Any], *, accumulate: int = 1, fsdp: bool = False
) -> tuple[Tensor, int]:
    """The weight after so many steps, and how often gradients were exchanged."""

    def prepare(samples: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
        x = torch.tensor([sample["x"] for sample in samples], device=device)
        return x, 3 * x

    model: Any = Line()
    network, exchanges = model, []

    def exchange(_: object, bucket: distributed.GradBucket) -> torch.futures.Future[Tensor]:
        exchanges.append(bucket.index())
        return allreduce_hook(None, bucket)

    if fsdp:
        shard(model, accelerator)
        optimizer = accelerator.prepare_optimizer(torch.optim.SGD(model.parameters()))
    else:
        network, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters()))
        network.register_comm_hook(None, exchange)
    with ReduceScatters() as shards:
        loop.train(
            network,
            batches,
            optimizer,
            accelerator=accelerator,
            prepare=prepare,
            lr_at=lambda step: 0.1,
            plan=loop.LoopPlan(num_steps=len(batches) // accumulate, accumulate=accumulate),
            log=RunLog(None, is_main=False),
            save=lambda step: None,
            evaluate=lambda step: None,
        )
    if not fsdp:
        return model.weight.detach(), len(exchanges)
    return model.weight.full_tensor().detach(), shards.count


def accumulate_in_two_processes(fsdp: bool) -> None:
    """Two processes with two parts each have the weights of one process with whole batches."""
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    first = 2 * accelerator.process_index
    parts = [[sample] for batch in line_batches(3) for sample in batch[first : first + 2]]
    weight, num_exchanges = train_line(accelerator, parts, accumulate=2, fsdp=fsdp)
    assert num_exchanges == 3
    expected = Line().weight.detach()
    for batch in line_batches(3):
        x = torch.tensor([sample["x"] for sample in batch])
        expected = expected - 0.1 * 2 * ((expected * x - 3 * x) * x).sum(0) / x.numel()
    torch.testing.assert_close(weight, expected)


def find_a_bad_loss_in_two_processes() -> None:
    """Each of two processes names the images of both where the loss of one is not finite."""
    accelerator = Accelerator(cpu=True)
    index = accelerator.process_index
    samples = [{"image_id": 10 + index, "x": [1.0, float("inf") if index else 1.0]}]
    with pytest.raises(ValueError, match=r"at step 1 on images \[10, 11\]"):
        train_line(accelerator, [samples])


def wish_in_one_process() -> None:
    """The second process wishes the first thing at every step, until it is known."""
    accelerator = Accelerator(cpu=True)
    agreement = ProcessFlags(accelerator.num_processes)
    is_second = accelerator.process_index == 1
    assert agreement.sync_flags([is_second, False]) == [False, False]
    assert agreement.sync_flags([is_second, False]) == [True, False]
    assert agreement.sync_flags([False, False]) == [False, False]


def normalise_parts() -> None:
    """BatchNorm over unequal parts in two processes is BatchNorm over the whole."""
    accelerator = Accelerator(cpu=True)
    source = torch.Generator().manual_seed(0)
    maps = torch.randn(5, 3, 4, 6, generator=source) * 3 + 100
    grads = torch.randn(5, 3, 4, 6, generator=source)
    part = slice(0, 2) if accelerator.process_index == 0 else slice(2, 5)
    whole, shared = nn.BatchNorm2d(3), SharedBatchNorm2d(3)
    for norm in (whole, shared):
        nn.init.constant_(norm.weight, 2.0)
        nn.init.constant_(norm.bias, 0.5)
    x, y = maps.clone().requires_grad_(), maps[part].clone().requires_grad_()
    for _ in range(2):
        expected, found = whole(x), shared(y)
        torch.testing.assert_close(found, expected[part], atol=1e-4, rtol=1e-4)
    expected.backward(grads)
    found.backward(grads[part])
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(y.grad, x.grad[part], atol=1e-4, rtol=1e-4)
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(shared.get_buffer(name), buffer, atol=1e-5, rtol=1e-5)
    assert list(shared.state_dict()) == list(whole.state_dict())
    torch.testing.assert_close(shared.eval()(y), whole.eval()(maps[part]))


def evaluate_in_parts(recipe: Recipe, folder: Path) -> None:
    """Two processes that share an odd number of images get the scores of one that has all."""
    accelerator = Accelerator(cpu=True)
    task = find_task(recipe.task)
    torch.manual_seed(0)
    model = task.create_model(recipe.model, task.training_data(recipe.data, seed=0))
    predictor = task.predictor(task.evaluation_flags(scale=recipe.data.scale), model)
    dataset = task.evaluation_data(recipe.data, scale=predictor.scale, model=model)
    assert len(dataset) == 3
    whole = evaluate_model(model, dataset, task, predict=predictor.predict)
    shared = evaluate_model(
        *(model, dataset, task),
        predict=predictor.predict,
        part=(accelerator.process_index, 2),
        gather=gather_object,
    )
    assert shared.metrics == whole.metrics
    assert shared.headline == whole.headline
    if shared.write_results is not None and whole.write_results is not None:
        shared.write_results(folder / f"shared{accelerator.process_index}.json")
        whole.write_results(folder / f"whole{accelerator.process_index}.json")


def find_nothing_in_one_process(config: ModelConfig, recipe: Recipe, fsdp: bool) -> None:
    """Two steps in which the first process alone has an object, and an image of another size."""
    options = Options(recipe=recipe, device="cpu", fsdp=fsdp)
    accelerator = create_accelerator(options)
    torch.manual_seed(0)
    trained = distribute(create_model(config), options, accelerator)
    count = 1 - accelerator.process_index
    target = {
        "boxes": torch.tensor([[5.0, 5.0, 40.0, 50.0]])[:count],
        "labels": torch.zeros(count, dtype=torch.int64),
        "masks": torch.ones(count, 64, 64, dtype=torch.bool),
    }
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 40, 100, dtype=torch.bool),
    }
    images, targets = [torch.zeros(3, 64, 64, dtype=torch.uint8)], [target]
    if count:
        images, targets = [*images, torch.zeros(3, 40, 100, dtype=torch.uint8)], [target, nothing]
    for _ in range(2):
        losses = trained.network(images, targets)
        accelerator.backward(sum(losses.values()))
        missing = [
            name
            for name, parameter in trained.model.named_parameters()
            if parameter.requires_grad and parameter.grad is None
        ]
        assert not missing, f"no gradient reached {missing}"
        trained.optimizer.step()
        trained.optimizer.zero_grad()
