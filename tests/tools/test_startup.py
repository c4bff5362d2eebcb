"""A command line answers before anything heavy is imported: help, and what is wrong with it."""

import json
import subprocess
import sys

import pytest

from swin_dense.tools import COMMANDS

HEAVY = (
    "torch torchvision numpy cv2 PIL albumentations pycocotools scipy matplotlib accelerate "
    "safetensors tensorboard rich urllib.request"
)
RUN_ALL = """
import contextlib, io, json, sys
from swin_dense.tools.cli import main
answers = []
for words in json.loads(sys.argv[2]):
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        try:
            status = main(words)
        except SystemExit as stop:
            status = stop.code or 0
    loaded = [name for name in sys.argv[1].split() if name in sys.modules]
    answers.append([words, status, loaded])
print(json.dumps(answers))
"""
HELP = [
    ["--help"],
    ["--version"],
    *([name, "--help"] for name in COMMANDS),
    ["train", "mask_rcnn_demo", "--help"],
    ["train", "upernet_swin_t_finetune", "--model.backbone", "timm:resnet50", "--help"],
    ["compare", "classifier_demo", "--vary", "model.backbone", "timm:resnet50", "--help"],
]
ERRORS = [
    [],
    ["trian"],
    *([name, "--no-such-flag"] for name in COMMANDS),
    ["train", "no_such_recipe"],
    ["train", "mask_rcnn_demo", "--batch-size", "0"],
    ["train", "mask_rcnn_demo", "--optimizer.lr", "fast"],
    ["train", "mask_rcnn_demo", "--data.root", "absent"],
    ["train", "mask_rcnn_demo", "--data.root", ".", "--init", "absent.pth"],
    ["compare", "classifier_demo"],
    ["compare", "classifier_demo", "--vary", "optimizer.lr", "1e-3"],
    ["compare", "classifier_demo", "--vary", "optimizer.lr", "1e-3", "fast"],
    ["compare", "classifier_demo", "--vary", "optimizer.lr", "1", "2", "--data.root", "absent"],
    ["evaluate", "--weights", "absent.pth", "--data", "."],
    ["evaluate", "--weights", ".", "--data", "absent"],
    ["evaluate", "--weights", ".", "--data", ".", "--batch-size", "0"],
    ["predict", "absent.jpg", "--weights", ".", "--out", "found"],
    ["export", "--weights", "absent.pth", "--out", "model.onnx"],
    ["export", "--weights", "absent.pth", "--out", "model.txt"],
    ["predict", "a.jpg", "--weights", ".", "--out", "found", "--score-threshold", "2"],
    ["features", "absent.jpg", "--weights", ".", "--out", "features"],
    ["features", "--weights", ".", "--out", "features"],
    ["features", "a.jpg", "--weights", ".", "--out", "features", "--batch-size", "0"],
    ["features", "a.jpg", "--weights", ".", "--out", "features", "--ray-address", "auto"],
    ["inspect", "absent.pth"],
    ["inspect", "absent.onnx"],
    ["benchmark", "--weights", "absent.pth"],
    ["benchmark", "--weights", ".", "--rounds", "0"],
    ["convert", "absent.pth", "out.pth", "--to", "timm"],
    ["convert", "absent.pth", "out.pth", "--to", "caffe"],
    ["report", "absent"],
    ["demo", "--size", "0"],
    ["serve", "--weights", "absent.pth"],
    ["serve", "--weights", ".", "--port", "70000"],
]


@pytest.mark.parametrize(("lines", "status"), [(HELP, 0), (ERRORS, 2)], ids=["help", "errors"])
def test_an_answer_comes_before_anything_heavy_is_imported(
    lines: list[list[str]], status: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", RUN_ALL, HEAVY, json.dumps(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("nothing"),
    )
    assert json.loads(run.stdout) == [[words, status, []] for words in lines]
