"""`swin-dense serve`: a page on this machine that shows what a model finds in images."""

import importlib.util
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from swin_dense.checkpoints.download import find_source
from swin_dense.datasets.files import MAX_MEGAPIXELS, MEGAPIXELS
from swin_dense.ranges import Ranges
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.tasks.table import choose_flags, find_task, join_flags, split_flags

_KIND = "prediction_flags"
_NEEDED = "serve needs gradio, which is not installed; pip install 'swin-dense[serve]'"


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Serve a page on this machine: drop an image, look at what is found and at the pyramid."""

    ranges: ClassVar[Ranges] = {
        "port": (0, 65535),
        "max_megabytes": (0.001, 1000),
        "max_megapixels": MEGAPIXELS,
    }

    weights: Path
    """Weights file of a whole model, or what `export` wrote of one."""
    port: int = 7860
    """Port on 127.0.0.1; 0: any that is free."""
    max_megabytes: float = 40
    """Files that are larger are refused."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Images that state more than this are not read."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the network."""


def options_type() -> type:
    """The flags of the command, with those of `predict` that each task brings."""
    return join_flags(CommonOptions, _KIND)


@document_flags(options_type())
def serve(weights: str | PathLike[str], **flags: Any) -> None:
    """Serve a page on this machine until it is interrupted.

    Args:
        weights: file of a whole model, the name of a published one, or an exported file.
        flags: of `swin-dense serve`, such as `port=8000`, with underscores; its `--help` explains
            each.

    Raises:
        ValueError: a flag is out of range, the port is taken, gradio is not installed, or the
            weights are those of no whole model.
        FileNotFoundError: the weights are missing.
    """
    _serve(make_options(options_type(), {"weights": weights, **flags}), may_exit=False)


def run(options: Any) -> None:
    """Serve until a signal; raises as `serve`."""
    _serve(options, may_exit=True)


def _serve(options: Any, *, may_exit: bool) -> None:
    flags_of_tasks = split_flags(options, _KIND)
    find_source(options.weights)
    if importlib.util.find_spec("gradio") is None:
        raise ValueError(_NEEDED)

    from swin_dense.tools.serve.folder import ProcessFolder
    from swin_dense.tools.serve.server import (
        HOST,
        bind,
        interrupted_by_sigterm,
        run_server,
        temporary_files,
    )

    with (
        bind(options.port) as listener,
        interrupted_by_sigterm(),
        ProcessFolder() as folder,
        temporary_files(folder) as path,  # before gradio is imported, which makes one
    ):
        from swin_dense.datasets.images import limit_pixels
        from swin_dense.tools.export.exported_models import open_model
        from swin_dense.tools.runs.folder import with_known_scale
        from swin_dense.tools.serve.app import make_app
        from swin_dense.tools.serve.served_model import Servable, ServedModel
        from swin_dense.tools.serve.service import Service

        limit_pixels(options.max_megapixels)
        model = cast(
            Servable,
            open_model(options.weights, device=options.device, precision=options.precision),
        )
        task = find_task(model.task)
        flags = with_known_scale(choose_flags(flags_of_tasks, task), options.weights)
        predictor = task.predictor(_without_threshold(flags), model)
        served = ServedModel(model, task, predictor, precision=options.precision)
        app = make_app(
            Service(served, flags=flags, folder=path),
            name=Path(options.weights).name,
            max_bytes=round(options.max_megabytes * 1e6),
        )
        print(f"http://{HOST}:{listener.getsockname()[1]}/ (Ctrl-C stops)", flush=True)
        run_server(app, listener, folder, may_exit=may_exit)


def _without_threshold(flags: Any) -> Any:
    """The flags with which everything is found: the page's slider chooses of it."""
    has_threshold = any(field.name == "score_threshold" for field in fields(flags))
    return replace(flags, score_threshold=0.0) if has_threshold else flags
