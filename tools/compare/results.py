"""Results of a comparison: every run's, and of each variant their mean and deviation."""

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swin_dense.heads.checkpoints import from_checkpoint
from swin_dense.tools.compare.plan import RESULTS_FILE, TABLE_FILE, Plan, PlannedRun
from swin_dense.tools.compare.running import is_finished
from swin_dense.tools.compare.variants import Variant
from swin_dense.tools.files import atomic_write, write_json
from swin_dense.tools.runs.folder import RunFolder, read_run
from swin_dense.tools.runs.names import WEIGHTS_FILE


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean of a figure over runs.

    Attributes:
        mean: None where a run does not have the figure.
        deviation: sample standard deviation; None of fewer than two runs.
    """

    mean: float | None
    deviation: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread":
        """Mean and deviation of some values; COCO's -1 is none."""
        found = list(values)
        there = [value for value in found if value is not None and value >= 0]
        return cls._of(there if len(there) == len(found) else [])

    @classmethod
    def of_differences(cls, pairs: Iterable[tuple[float | None, float | None]]) -> "Spread":
        """Of the second less the first of some pairs."""
        found = list(pairs)
        there = [b - a for a, b in found if a is not None and b is not None and min(a, b) >= 0]
        return cls._of(there if len(there) == len(found) else [])

    @classmethod
    def _of(cls, values: Sequence[float]) -> "Spread":
        return cls(
            mean=statistics.fmean(values) if values else None,
            deviation=statistics.stdev(values) if len(values) > 1 else None,
        )


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that is finished.

    Attributes:
        planned: what it is.
        run: what its folder holds.
    """

    planned: PlannedRun
    run: RunFolder

    @property
    def scores(self) -> dict[str, float | None]:
        """Every score of the last evaluation that stands for all classes, a fraction."""
        return self.run.task.score_table(self.run.evaluations[-1].metrics).by_name

    @property
    def curves(self) -> dict[str, dict[int, float | None]]:
        """By name and step: the training loss, and each score that a report shows large."""
        found = {"loss": {line["step"]: line["loss"] for line in self.run.log}}
        for record in self.run.evaluations:
            for key, value in record.headline.items():
                found.setdefault(self.run.task.score_name(key), {})[record.step] = value
        return found

    @property
    def loss(self) -> float | None:
        """Mean training loss of the last line of the log."""
        return self.run.log[-1]["loss"]

    @property
    def seconds_per_step(self) -> float:
        """Median over the lines of the log."""
        return statistics.median(line["seconds_per_step"] for line in self.run.log)

    @property
    def memory_mib(self) -> float:
        """The most that a process of the run held."""
        return max(line["memory_mib"] for line in self.run.log)


@dataclass(frozen=True, kw_only=True)
class VariantResults:
    """The finished runs of a variant.

    Attributes:
        variant: what was trained.
        runs: by seed.
        num_parameters: of the model; None before a run is finished.
    """

    variant: Variant
    runs: tuple[RunResult, ...]
    num_parameters: int | None

    @property
    def scores(self) -> dict[str, Spread]:
        """Mean and deviation of each score."""
        names = dict.fromkeys(name for run in self.runs for name in run.scores)
        return {name: Spread.of(run.scores.get(name) for run in self.runs) for name in names}

    @property
    def loss(self) -> Spread:
        """Of the training, at its end."""
        return Spread.of(run.loss for run in self.runs)

    @property
    def seconds_per_step(self) -> Spread:
        """Of the runs' medians."""
        return Spread.of(run.seconds_per_step for run in self.runs)

    @property
    def memory_mib(self) -> Spread:
        """Of the runs' peaks."""
        return Spread.of(run.memory_mib for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class Results:
    """Results of a comparison, as far as it has come.

    Attributes:
        plan: what is to be there.
        variants: in the plan's order.
    """

    plan: Plan
    variants: tuple[VariantResults, ...]

    @property
    def runs(self) -> list[RunResult]:
        """All that are finished, by variant."""
        return [run for results in self.variants for run in results.runs]

    @property
    def headline(self) -> list[str]:
        """Names of the scores that a report shows large, as in a table of scores."""
        if not self.runs:
            return []
        first = self.runs[0]
        return [name for name in first.curves if name in first.scores]


def read_results(plan: Plan) -> Results:
    """Read the folders of the runs that are finished."""
    variants = []
    for variant in plan.variants:
        runs = tuple(
            RunResult(planned=planned, run=read_run(planned.folder))
            for planned in plan.runs_of(variant)
            if is_finished(planned.folder)
        )
        count = _count_parameters(runs[0]) if runs else None
        variants.append(VariantResults(variant=variant, runs=runs, num_parameters=count))
    return Results(plan=plan, variants=tuple(variants))


def _count_parameters(result: RunResult) -> int:
    model = from_checkpoint(result.run.path / "last" / WEIGHTS_FILE)
    return sum(parameter.numel() for parameter in model.parameters())


def as_data(results: Results) -> dict[str, Any]:
    """The figures as plain values: `comparison.json`. Scores are fractions, curves have steps."""
    plan = results.plan
    return {
        "recipe": plan.recipe,
        "fields": list(plan.fields),
        "seeds": list(plan.seeds),
        "variants": [
            {
                "name": found.variant.name,
                "values": dict(found.variant.values),
                "parameters": found.num_parameters,
                "scores": {name: vars(spread) for name, spread in found.scores.items()},
                "loss": vars(found.loss),
                "seconds_per_step": vars(found.seconds_per_step),
                "memory_mib": vars(found.memory_mib),
                "runs": [
                    {
                        "seed": run.planned.seed,
                        "folder": run.planned.folder.name,
                        "step": run.run.evaluations[-1].step,
                        "scores": run.scores,
                        "loss": run.loss,
                        "seconds_per_step": run.seconds_per_step,
                        "memory_mib": run.memory_mib,
                        "curves": {
                            name: [list(point) for point in curve.items()]
                            for name, curve in run.curves.items()
                        },
                    }
                    for run in found.runs
                ],
            }
            for found in results.variants
        ],
    }


def write_results(results: Results) -> dict[str, Any]:
    """Write `comparison.json`, and `comparison.csv` with a row for each run; gives the first."""
    data = as_data(results)
    write_json(results.plan.out / RESULTS_FILE, data)
    rows: list[Mapping[str, Any]] = [
        {
            **variant["values"],
            **{name: run[name] for name in ("seed", "folder", "step")},
            **run["scores"],
            **{name: run[name] for name in ("loss", "seconds_per_step", "memory_mib")},
            "parameters": variant["parameters"],
        }
        for variant in data["variants"]
        for run in variant["runs"]
    ]
    text = io.StringIO(newline="")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(results.plan.out / TABLE_FILE, text.getvalue())
    return data
