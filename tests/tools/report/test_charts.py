"""Charts: text stays text, long lines are thinned, gaps stay gaps."""

import numpy as np

from swin_dense.tools.report.charts import Line, line_chart, thin
from swin_dense.tools.report.score_text import in_percent, in_points, in_short


def test_a_chart_has_its_title_its_axis_and_a_legend_of_several_lines() -> None:
    lines = [Line(name="a < b", x=[1, 2], y=[3.0, None]), Line(name="c", x=[1], y=[2.0])]
    chart = line_chart("Loss & rate", lines, x_name="step")
    assert "<h3>Loss &amp; rate</h3>" in chart
    assert ">step</text>" in chart
    assert "a &lt; b</span>" in chart
    assert "http:" not in chart.replace("http://www.w3.org/", "")
    assert 'class="legend"' in chart
    assert 'class="legend"' not in line_chart("Loss", lines[:1], x_name="step")
    assert line_chart("Loss", lines, x_name="step") == line_chart("Loss", lines, x_name="step")


def test_a_chart_without_lines_is_still_a_chart() -> None:
    assert "<svg" in line_chart("Loss", [], x_name="step")


def test_points_can_have_names() -> None:
    dots = Line(name="", x=[0.5], y=[0.5], kind="dots")
    assert ">cat</text>" in line_chart("", [dots], x_name="recall", texts=[(0.5, 0.5, "cat")])
    assert ">$c$_{</text>" in line_chart("", [dots], x_name="", texts=[(0.5, 0.5, "$c$_{")])


def test_long_lines_become_means_of_neighbours() -> None:
    x, y = thin(range(1, 1001), [float(value % 2) for value in range(1000)])
    assert len(x) == 200  # of five points each
    assert x[0] == 3
    assert sorted(set(y.round(9))) == [0.4, 0.6]
    assert np.isnan(thin([1, 2], [None, 1.0])[1]).tolist() == [True, False]
    assert len(thin([], [])[0]) == 0


def test_scores_are_written_in_percent() -> None:
    assert [in_percent(score) for score in (0.4567, 0.0, -1.0, None)] == ["45.7", "0.0", "–", "–"]  # noqa: RUF001
    assert [in_points(change) for change in (0.012, -0.012, 0.0001, None)] == [
        *("+1.2", "−1.2", "0.0", "–"),  # noqa: RUF001
    ]
    assert [in_short(count) for count in (9999, 10_000, 2_500_000, 3 * 10**9)] == [
        *("9999", "10.0 k", "2.5 M", "3.0 G"),
    ]
