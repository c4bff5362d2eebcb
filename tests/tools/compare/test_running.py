"""Trainings of a comparison: continued where they were stopped, never repeated, same page."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from compared_runs import tiny_plan, unmeasured

from swin_dense.datasets.drawn.shape_classes import write_shape_classes
from swin_dense.tools.compare.plan import Plan
from swin_dense.tools.compare.results import as_data, read_results
from swin_dense.tools.compare.running import check_models, is_finished, run_all
from swin_dense.tools.training import loop
from swin_dense.tools.training.options import Options
from swin_dense.tools.training.run import train

STEPS = 6


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "classes"
    return write_shape_classes(folder, num_train=12, num_val=10, size=32)


def small_plan(root: Path, out: Path) -> Plan:
    """Lines of the log and checkpoints do not fall together."""
    return tiny_plan(root, out, steps=STEPS, num_seeds=1, log_every=4, evaluate_every=3)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A comparison that nothing interrupted."""
    plan = small_plan(root, tmp_path_factory.mktemp("whole"))
    renewed: list[str] = []
    assert run_all(plan, train=train, renew=lambda: renewed.append("page")) == []
    assert len(renewed) == 2
    return plan


def stop_at(step: int) -> Callable[[Options], object]:
    """A training that gets SIGTERM in that step."""

    def stopped(options: Options) -> object:
        original = loop._step

        def stopping(number: int, *arguments: object) -> object:
            if number == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(number, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "_step", stopping)
            return train(options)

    return stopped


def test_a_comparison_that_was_stopped_gives_the_same_page(
    whole: Plan, root: Path, tmp_path: Path
) -> None:
    plan = small_plan(root, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_all(plan, train=stop_at(2), renew=lambda: None)
    assert not is_finished(plan.runs[0].folder)
    trained: list[Options] = []

    def note(options: Options) -> None:
        trained.append(options)
        train(options)

    assert run_all(plan, train=note, renew=lambda: None) == []
    assert [(options.run, options.resume) for options in trained] == [
        (plan.runs[0].folder, True),
        (plan.runs[1].folder, False),
    ]
    assert unmeasured(plan) == unmeasured(whole)
    found, expected = as_data(read_results(plan)), as_data(read_results(whole))
    for variant in (*found["variants"], *expected["variants"]):
        for figures in (variant, *variant["runs"]):
            assert figures.pop("seconds_per_step")
            assert figures.pop("memory_mib")
    assert found == expected


def test_what_is_done_is_not_trained_again(whole: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    trained: list[Options] = []
    assert run_all(whole, train=trained.append, renew=lambda: None) == []
    assert trained == []
    assert "run 2 of 2: relu, seed 0, in " in capsys.readouterr().err


def test_the_variants_differ_in_their_curves(whole: Plan) -> None:
    gelu, relu = as_data(read_results(whole))["variants"]
    assert gelu["loss"] != relu["loss"]
    assert gelu["runs"][0]["step"] == STEPS


def test_a_run_that_fails_does_not_stop_the_others(root: Path, tmp_path: Path) -> None:
    plan = small_plan(root, tmp_path)

    def fail(options: Options) -> None:
        if options.recipe.model.backbone.activation == "gelu":
            raise ValueError("losses must be finite")
        train(options)

    failures = run_all(plan, train=fail, renew=lambda: None)
    assert failures == ["gelu, seed 0: losses must be finite"]
    assert [is_finished(run.folder) for run in plan.runs] == [False, True]


def test_a_model_that_cannot_be_built_is_refused_with_its_variant(
    root: Path, tmp_path: Path
) -> None:
    plan = tiny_plan(root, tmp_path, num_seeds=1)
    check_models(plan)
    pytest.importorskip("timm", reason="needs timm")
    varied = {"model.backbone": ["swin_t", "timm:no_such_model"]}
    with pytest.raises(ValueError, match=r"^timm:no_such_model: .*no_such_model"):
        check_models(tiny_plan(root, tmp_path, varied=varied))
