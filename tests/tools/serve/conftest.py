"""A tiny detector and a tiny segmentor, served."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.configs import SwinConfig
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.models import create_model
from swin_dense.tools.export.exported_models import open_model
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.serve.served_model import ServedModel
from swin_dense.tools.serve.service import Service
from swin_dense.tools.task_flags import DetectionPrediction, SegmentationInference
from swin_dense.tools.tasks.table import find_task

SCALE = (64, 64)
MAX_BYTES = 100_000
THRESHOLD = 0.1  # a random detector is never sure


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights files by task."""
    torch.manual_seed(0)
    backbone = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for task, recipe, names in (
        ("detection", "mask_rcnn_demo", ("cat", "dog")),
        ("segmentation", "upernet_demo", ("sky", "tree", "road")),
    ):
        config = replace(find_recipe(recipe).model, backbone=backbone)
        files[task] = folder / f"{task}.safetensors"
        model = create_model(config, num_classes=len(names), class_names=names)
        save_model(model, files[task])
    return files


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of noise, 60 px wide and 40 high."""
    path = tmp_path_factory.mktemp("images") / "street view.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def serve_model(
    weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Service]:
    """Makes the service of a task's model."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served" / "uploads"))

    def make(task_name: str) -> Service:
        model = open_model(weights[task_name], device="cpu")
        task = find_task(task_name)
        flags = {
            "detection": DetectionPrediction(scale=SCALE, score_threshold=THRESHOLD),
            "segmentation": SegmentationInference(scale=SCALE),
        }[task_name]
        everything = (
            replace(flags, score_threshold=0.0) if isinstance(flags, DetectionPrediction) else flags
        )
        served = ServedModel(model, task, task.predictor(everything))
        folder = tmp_path / "served"
        folder.mkdir(exist_ok=True)
        return Service(served, flags=flags, folder=folder)

    return make


@pytest.fixture
def open_page(serve_model: Callable[[str], Service]) -> Iterator[Callable[[str], str]]:
    """Serves a task's model in a thread; gives the page's address."""
    for library in ("gradio", "uvicorn"):
        pytest.importorskip(library, reason="needs the extra serve")
    import uvicorn

    from swin_dense.tools.serve.app import make_app
    from swin_dense.tools.serve.server import bind

    servers = []

    def start(task_name: str) -> str:
        app = make_app(serve_model(task_name), name=f"{task_name}.safetensors", max_bytes=MAX_BYTES)
        listener = bind(0)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        servers.append((server, thread, listener))
        while not server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    for server, thread, listener in servers:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
