"""Comparing as a command and as a function: what is wrong is told before anything is trained."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from compared_runs import tiny_classifier, tiny_plan, unmeasured
from training_runs import BACKBONE

import swin_dense as sd
from swin_dense.datasets.drawn.shape_classes import write_shape_classes
from swin_dense.tools.cli import main
from swin_dense.tools.compare import processes
from swin_dense.tools.compare.plan import Plan
from swin_dense.tools.compare.running import is_finished
from swin_dense.tools.runs.checkpoints import find_checkpoint
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run import train

ACTIVATION = "model.backbone.activation"
VARIED = ["--vary", ACTIVATION, "gelu", "relu"]
STEPS = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "classes"
    return write_shape_classes(folder, num_train=12, num_val=10, size=32)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Options of the trainings, which run in this process, where all is imported."""
    found: list[Options] = []

    def train_here(options: Options) -> None:
        found.append(options)
        train(options)

    monkeypatch.setattr(processes, "train_apart", train_here)
    return found


def small_flags(root: Path, out: Path) -> list[str]:
    """Flags of `tiny_classifier`."""
    sizes = {
        "embed-dim": BACKBONE.embed_dim,
        "depths": BACKBONE.depths,
        "num-heads": BACKBONE.num_heads,
    }
    words = [f"--data.root={root}", "--out", str(out), "--device", "cpu", "--workers", "0"]
    for name, value in sizes.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--model.backbone.{name}", *map(str, values)]
    return [*words, "--batch-size", "4", "--log-every", "3"]


def test_the_command_prints_a_table_and_leaves_page_table_and_figures(
    root: Path, tmp_path: Path, trained: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "classifier_demo", *VARIED, "--seeds", "1", "--steps", "2", "--seed", "5"]
    assert main([*words, *small_flags(root, tmp_path / "out")]) == 0
    assert [options.run.name for options in trained] == ["gelu_seed_5", "relu_seed_5"]
    assert [options.recipe.model.backbone.activation for options in trained] == ["gelu", "relu"]
    assert {options.recipe.model.backbone.embed_dim for options in trained} == {8}
    assert {options.evaluate_every for options in trained} == {1}
    printed = capsys.readouterr()
    assert "relu" in printed.out
    assert f"see {tmp_path / 'out' / 'comparison.html'}\n" in printed.err
    assert {"arguments.json", "comparison.html", "comparison.json", "comparison.csv"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    assert main([*words, *small_flags(root, tmp_path / "out")]) == 0
    assert len(trained) == 2  # nothing is repeated


def test_the_function_takes_values_and_gives_figures(
    root: Path, tmp_path: Path, trained: list[Options]
) -> None:
    recipe = tiny_classifier(Path("nowhere"), steps=1)
    found = sd.tools.compare(
        recipe,
        {"model.backbone.window_size": [2, 4]},
        {"data.root": root},
        seeds=1,
        out=str(tmp_path / "out"),
        device="cpu",
        workers=0,
    )
    assert found.page.is_file()
    assert [variant["name"] for variant in found.results["variants"]] == ["2", "4"]
    assert [options.recipe.model.backbone.window_size for options in trained] == [2, 4]


def test_backbones_of_several_kinds_are_parsed_with_their_flags(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm", reason="needs timm")
    from swin_dense.tools.commands import compare

    seen: list[Any] = []

    def stop(variants: Any, *, num_seeds: int) -> None:
        seen.extend(variants)
        raise ValueError("seen")

    monkeypatch.setattr(compare, "_compare", stop)
    words = ["compare", "classifier_demo", "--vary", "model.backbone", "swin_t", "timm:resnet18"]
    more = ["--vary", "optimizer.lr", "1e-3", "1e-4", "--model.backbone.drop-path-rate", "0.1"]
    assert main([*words, *more, "--data.root", str(root)]) == 2
    assert [variant.name for variant in seen] == [
        *("swin_t, 0.001", "swin_t, 0.0001", "timm:resnet18, 0.001", "timm:resnet18, 0.0001")
    ]
    assert {v.options.recipe.model.backbone.drop_path_rate for v in seen} == {0.1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--vary must name a field of the recipe and two or more values, got none"),
        (["--vary", ACTIVATION, "gelu"], "must have two or more values, got gelu"),
        (["--vary", ACTIVATION, "gelu", "gelu"], "must have different values, got gelu and gelu"),
        (["--vary", ACTIVATION, "gelu", "tanh"], "unknown activation 'tanh'"),
        (["--vary", "model.activation", "a", "b"], "unknown field 'model.activation'; near it"),
        (["--vary", "optimizer.weight-decay", "0", "lots"], "optimizer.weight_decay must be float"),
        ([*VARIED, *VARIED], f"--vary must name a field once, got {ACTIVATION} twice"),
        ([*VARIED, f"--{ACTIVATION}=silu"], "must not be given besides --vary"),
        ([*VARIED, "--seeds", "0"], "--seeds must be in 1..1000, got 0"),
        ([*VARIED, "--resume"], "Unrecognized options: --resume"),
        ([*VARIED, "--data.root", "absent"], "--data.root must be a folder, got absent"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_trained(
    words: list[str],
    message: str,
    trained: list[Options],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "classifier_demo", *words]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert trained == []
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_call_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_classifier(root, steps=1)
    varied = {ACTIVATION: ["gelu", "relu"]}
    with pytest.raises(ValueError, match=f"other fields than fields, got {ACTIVATION} in both"):
        sd.tools.compare(recipe, varied, {ACTIVATION: "silu"})
    with pytest.raises(ValueError, match="compare must be without resume; it continues what"):
        sd.tools.compare(recipe, varied, resume=True)
    with pytest.raises(ValueError, match=r"--seeds must be in 1\.\.1000, got 0"):
        sd.tools.compare(recipe, varied, seeds=0)
    with pytest.raises(ValueError, match="unknown field 'no_flag'"):
        sd.tools.compare(recipe, varied, no_flag=1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="must be started as one process"):
        sd.tools.compare(recipe, varied)


def test_other_arguments_than_before_are_one_line(
    root: Path, tmp_path: Path, trained: list[Options], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tiny_plan(root, tmp_path / "out", steps=1, num_seeds=1)
    words = ["compare", "classifier_demo", *VARIED, "--seeds", "1", "--steps", "1"]
    assert main([*words, *small_flags(root, plan.out)]) == 0
    words = ["compare", "classifier_demo", *VARIED, "--seeds", "2", "--steps", "1"]
    assert main([*words, *small_flags(root, plan.out)]) == 2
    assert "got another seeds: [0, 1] instead of [0], in " in capsys.readouterr().err
    assert len(trained) == 2


def start(root: Path, out: Path) -> "subprocess.Popen[bytes]":
    """The command in a process of its own, with a checkpoint after every fifth step."""
    words = [sys.executable, "-m", "swin_dense.tools.cli", "compare", "classifier_demo"]
    words += [*VARIED, "--seeds", "1", "--steps", str(STEPS), "--save-every", "5"]
    words += ["--evaluate-every", "0", *small_flags(root, out)]
    return subprocess.Popen(words, cwd=root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A comparison that nothing interrupted."""
    plan = tiny_plan(root, tmp_path_factory.mktemp("whole"), steps=STEPS, num_seeds=1)
    assert start(root, plan.out).wait(120) == 0
    return plan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 2)]
)
def test_a_killed_comparison_is_continued_and_gives_the_same_page(
    number: signal.Signals, status: int, whole: Plan, root: Path, tmp_path: Path
) -> None:
    plan = tiny_plan(root, tmp_path / "cut", steps=STEPS, num_seeds=1)
    first = plan.runs[0].folder
    process = start(root, plan.out)
    end = time.monotonic() + 120
    while find_checkpoint(first) is None:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == status
    time.sleep(1)  # its training ends as soon as it notices
    assert not is_finished(first)
    assert start(root, plan.out).wait(120) == 0
    assert unmeasured(plan) == unmeasured(whole)
