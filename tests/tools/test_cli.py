"""The command line: exit status, one line of error, flags from dataclasses."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from swin_dense.tools import cli


@dataclass(frozen=True, kw_only=True)
class _Options:
    """A command for tests."""

    number: int = 1
    """A number."""


def _install(monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    module = ModuleType("swin_dense.tools.commands.recipes")
    module.__dict__.update(Options=_Options, run=run)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_flags_reach_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(monkeypatch, lambda options: print(json.dumps(options.number)))
    assert cli.main(["recipes", "--number", "7"]) == 0
    assert capsys.readouterr().out == "7\n"


@pytest.mark.parametrize("error", [ValueError("a\n  b"), FileNotFoundError("a\n  b")])
def test_an_expected_error_is_one_line_on_stderr_and_status_2(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: _Options) -> None:
        raise error

    _install(monkeypatch, run)
    assert cli.main(["recipes"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: a; b\n"
    assert captured.out == ""


def test_an_error_of_the_system_names_the_file_and_the_fault_without_a_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _install(monkeypatch, lambda options: Path("no/such/file").read_bytes())
    assert cli.main(["recipes"]) == 2
    assert capsys.readouterr().err == "error: no/such/file: no such file or directory\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(options: _Options) -> None:
        raise TypeError("ours")

    _install(monkeypatch, run)
    with pytest.raises(TypeError, match="ours"):
        cli.main(["recipes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["nonsense"],
            "unknown command 'nonsense'; choose one of benchmark, compare, convert, demo",
        ),
        (["recipes", "--number", "x"], "--number"),
        (["recipes", "--nope", "3"], "--nope"),
        (["train", "nope"], "unknown recipe 'nope'; choose one of mask_rcnn_swin_t_coco_1x"),
        (["train", "mask_rcnn_demo", "--batch-size", "many"], "--batch-size"),
        (["evaluate"], "--weights"),
        (["evaluate", "--weights", "absent.pth", "--data", "absent"], "absent.pth"),
        (["evaluate", "--weights", "w", "--data", "d", "--mode", "other"], "--mode"),
        (["predict", "absent.jpg", "--weights", "w", "--out", "o"], "absent.jpg"),
        (["predict", "--weights", "w", "--out", "o"], "inputs, got none"),
        (
            ["predict", "https://a.b/c.jpg", "--weights", "w", "--out", "o"],
            "error: https://a.b/c.jpg is a URL, which is not fetched",
        ),
        (["evaluate", "--weights", "w", "--data=s3://a/b"], "error: s3://a/b is a URL"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""


def test_an_error_in_a_process_that_reads_images_comes_without_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: _Options) -> None:
        raise ValueError(
            "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            "call last):\n  raise ValueError(\nValueError: a bad label in a.png"
        )

    _install(monkeypatch, run)
    assert cli.main(["recipes"]) == 2
    assert capsys.readouterr().err == "error: a bad label in a.png\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in ("demo", "train", "evaluate", "predict"))


def test_train_alone_lists_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    assert "mask_rcnn_swin_s_coco_3x" in capsys.readouterr().out


def test_every_field_of_a_recipe_is_a_flag_with_its_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "mask_rcnn_swin_t_coco_3x", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for flag in ("--data.root", "--model.backbone.drop-path-rate", "--optimizer.lr", "--resume"):
        assert flag in printed
    assert "default: 36" in printed


def test_every_field_of_segmentation_is_a_flag_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "upernet_swin_t_ade20k_160k", "--help"])
    printed = capsys.readouterr().out
    for flag in ("--data.crop", "--data.class-names", "--schedule.power", "--model.dropout"):
        assert flag in printed


def test_the_module_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "swin_dense.tools.cli", "nonsense"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command")


def test_a_reader_who_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "swin_dense.tools.cli", "recipes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convert"], "[OPTIONS] FILE OUT"),
        (["report"], "RUN [RUN2]"),
        (
            ["train", "upernet_swin_t_finetune"],
            "--data.no-photometric Distort brightness, contrast, saturation and hue; with `no-` "
            "colours stay as they are.",
        ),
        (
            ["train", "mask_rcnn_swin_t_finetune"],
            "of the recipe's model only what matters in training",
        ),
    ],
)
def test_help_names_arguments_and_says_what_flags_do(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    assert said in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 90 GiB"),
        RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4e12 bytes"
        ),
    ],
)
def test_too_little_memory_is_an_expected_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: _Options) -> None:
        raise error

    _install(monkeypatch, run)
    assert cli.main(["recipes"]) == 2
    assert capsys.readouterr().err.startswith("error: more memory was asked for than there is: ")
