"""Shards made by processes of Ray (Moritz et al. 2018), on this machine or many.

A row of the data set is one shard to do. An actor holds the model and writes its shards itself, so
that no features go through Ray's object store. Actors that are lost are started again, and the
shards that they were at are done again. All machines must see the images, the weights and the store
under the same paths.
"""

import importlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from swin_dense.datasets.features.inputs import ImageFile
from swin_dense.datasets.features.shards import remove_partial
from swin_dense.datasets.images import limit_pixels
from swin_dense.tools.features.extractor import Extractor, ExtractorConfig
from swin_dense.tools.features.pipeline import Progress, ShardTask, make_shards

_OBJECT_STORE = 100 << 20  # bytes; rows are small


class ShardMaker:
    """The actor: a model that makes the shards that it is given."""

    def __init__(
        self,
        config: ExtractorConfig,
        folder: Path,
        *,
        num_workers: int,
        batch_size: int | None,
        max_megapixels: float,
    ) -> None:
        limit_pixels(max_megapixels)
        self._extractor = Extractor(config)
        self._folder, self._num_workers, self._batch_size = folder, num_workers, batch_size

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make one shard; the answer is a `Progress` as a row, and why there is none, or ""."""
        task = _task_of(row)
        reports = make_shards(
            [task],
            self._extractor,
            self._folder,
            num_workers=self._num_workers,
            batch_size=self._batch_size,
        )
        try:
            totals = [sum(numbers) for numbers in zip(*reports, strict=True)]
        except OSError as error:  # Ray would hide it among the traces of three processes
            return {**Progress(0, 0, 0)._asdict(), "failure": f"{task.name}: {error}"}
        return {**Progress(*totals)._asdict(), "failure": ""}


def make_shards_with_ray(
    tasks: Sequence[ShardTask],
    config: ExtractorConfig,
    folder: Path,
    *,
    address: str | None,
    num_actors: int | None,
    num_workers: int,
    batch_size: int | None,
    max_megapixels: float,
) -> Iterator[Progress]:
    """Make shards on all actors at once.

    Args:
        tasks: the shards.
        config: of the extractor of each actor.
        folder: of the shards, absolute.
        address: of a cluster to join; None starts Ray on this machine, unless it runs already.
        num_actors: None: one a GPU, or one for each `config.threads` cores.
        num_workers: threads that read images, in each actor.
        batch_size: see `make_shards`.
        max_megapixels: images that state more are not read.

    Yields:
        A report for each shard.

    Raises:
        ValueError: Ray is not installed, or cannot be reached.
        OSError: as `make_shards`, in an actor.
    """
    ray = _import_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _start(ray, address)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        resources, count = _share(ray.cluster_resources(), config, num_actors, len(tasks))
        rows = ray.data.from_items(
            [_row_of(task) for task in tasks], override_num_blocks=len(tasks)
        )
        done = rows.map(
            ShardMaker,
            fn_constructor_args=(_anywhere(config), folder),
            fn_constructor_kwargs={
                "num_workers": num_workers,
                "batch_size": batch_size,
                "max_megapixels": max_megapixels,
            },
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2),
            **resources,
        )
        for row in done.iter_rows():
            if failure := row.pop("failure"):
                raise OSError(failure)
            yield Progress(**row)
    finally:
        if is_ours:
            ray.shutdown()
    remove_partial(folder)  # of actors that were lost


def _import_ray() -> Any:
    try:
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ValueError(
            f"--engine ray needs Ray Data, which cannot be imported ({error}); "
            "pip install 'swin-dense[ray]'"
        ) from error
    return importlib.import_module("ray")


def _start(ray: Any, address: str | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    try:
        ray.init(address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"--ray-address must be a cluster of Ray, got {address}: {reason}"
        ) from error


def _share(
    there: dict[str, float], config: ExtractorConfig, num_actors: int | None, num_tasks: int
) -> tuple[dict[str, float], int]:
    """Needs of an actor in the cluster, and the number of actors."""
    num_gpus = int(there.get("GPU", 0))
    if config.device != "cpu" and num_gpus:
        count = num_actors or num_gpus
        return {"num_gpus": min(1.0, num_gpus / count), "num_cpus": 1}, min(count, num_tasks)
    cores = there.get("CPU", 1)
    count = num_actors or max(1, int(cores // config.threads))
    share = min(config.threads, cores / count)
    return {"num_cpus": share if share < 1 else int(share)}, min(count, num_tasks)


def _anywhere(config: ExtractorConfig) -> ExtractorConfig:
    """The config with a path of the weights that is good in every working folder."""
    if os.path.exists(config.weights):
        return replace(config, weights=os.path.abspath(config.weights))
    return config


def _row_of(task: ShardTask) -> dict[str, str]:
    return {"name": task.name, "files": json.dumps(task.files)}


def _task_of(row: dict[str, Any]) -> ShardTask:
    files = [
        ImageFile(image_id, path, root, None if size is None else (size[0], size[1]))
        for image_id, path, root, size in json.loads(row["files"])
    ]
    return ShardTask(row["name"], tuple(files))
