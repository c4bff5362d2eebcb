"""The command `serve`: what is wrong with its flags is said before anything is loaded."""

import importlib.util
from pathlib import Path

import pytest

import swin_dense as sd
from swin_dense.tools import cli
from swin_dense.tools.commands import serve


def test_missing_weights_are_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--weights", "absent.pth"]) == 2
    assert "absent.pth" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "70000"], "--port must be in 0..65535, got 70000"),
        (["--max-megabytes", "0"], "--max-megabytes must be in"),
        (["--score-threshold", "2"], "--score-threshold must be in 0..1"),
    ],
)
def test_flags_out_of_range_are_refused(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", "--weights", str(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err


def test_without_gradio_it_is_said_how_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.pth").touch()
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        serve.importlib.util,
        "find_spec",
        lambda name: None if name == "gradio" else find_spec(name),
    )
    with pytest.raises(ValueError, match=r"serve needs gradio.*pip install 'swin-dense\[serve\]'"):
        sd.tools.serve(tmp_path / "model.pth")
