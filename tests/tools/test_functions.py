"""Commands as functions of `swin_dense.tools`: found lazily, named as the commands are."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import swin_dense as sd
from swin_dense.backbone import SwinTransformer
from swin_dense.configs import SwinConfig
from swin_dense.tools import COMMANDS


def _run_python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_function_with_a_docstring(name: str) -> None:
    module = __import__(f"swin_dense.tools.commands.{COMMANDS[name].stem}", fromlist=["run"])
    function = getattr(module, name)
    assert inspect.isfunction(function)
    assert function.__doc__
    assert callable(getattr(sd.tools, name))
    assert name in dir(sd.tools)


def test_importing_the_tools_costs_no_more_than_the_package() -> None:
    others = "torchvision cv2 tyro rich accelerate matplotlib swin_dense.heads"
    code = (
        f"import sys, swin_dense.tools; print([n for n in {others.split()!r} if n in sys.modules])"
    )
    assert _run_python(code) == "[]"


def test_a_command_that_has_a_rooms_name_is_both() -> None:
    code = (
        "import swin_dense as sd; from swin_dense.tools.report.page import heading;"
        "from swin_dense.tools.recipes.table import RECIPES;"
        "print(sd.tools.recipes() == RECIPES, sd.tools.report.__name__, heading('a'))"
    )
    assert _run_python(code) == "True swin_dense.tools.report <h2>a</h2>"


def test_a_room_that_is_called_passes_its_arguments_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"RUN must be the folder of a run, got .*no such folder"):
        sd.tools.report(tmp_path / "none")
    with pytest.raises(ValueError, match="one or two runs, got 0"):
        sd.tools.report()


def test_a_file_is_converted_and_inspected(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    torch.save(SwinTransformer(config).state_dict(), tmp_path / "ours.pth")
    out = sd.tools.convert(
        tmp_path / "ours.pth", str(tmp_path / "timm.pth"), to="timm", backbone_only=True
    )
    assert out == tmp_path / "timm.pth"
    assert sd.tools.inspect(out)["layout"] == "timm"
    with pytest.raises(ValueError, match=r"to must be 'swin_dense' or 'microsoft' or .*got 'tmm'"):
        sd.tools.convert(tmp_path / "ours.pth", out, to="tmm")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'destroy'"):
        _ = sd.tools.destroy
