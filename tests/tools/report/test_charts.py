"""Charts: text stays text, long lines are thinned, gaps stay gaps."""

import re

import numpy as np

from swin_dense.tools.report.charts import Line, line_chart, thin


def test_a_chart_has_its_title_its_axis_and_a_legend_of_several_lines() -> None:
    lines = [Line(name="a < b", x=[1, 2], y=[3.0, None]), Line(name="c", x=[1, 2], y=[2.0, 4.0])]
    chart = line_chart("Loss & rate", lines, x_name="step")
    assert "<h3>Loss &amp; rate</h3>" in chart
    assert ">step</text>" in chart
    assert "a &lt; b</span>" in chart
    assert "http:" not in chart.replace("http://www.w3.org/", "")
    assert 'class="legend"' in chart
    assert 'class="legend"' not in line_chart("Loss", lines[:1], x_name="step")
    assert line_chart("Loss", lines, x_name="step") == line_chart("Loss", lines, x_name="step")


def test_faint_lines_are_pale_where_they_have_a_colour() -> None:
    grey = Line(name="", x=[1, 2], y=[3.0, 4.0], kind="faint")
    blue = Line(name="", x=[1, 2], y=[3.0, 5.0], kind="faint", colour="#2f6db5")
    assert "opacity" not in line_chart("Loss", [grey], x_name="step").partition("patch")[2]
    chart = line_chart("Loss", [grey, blue], x_name="step")
    assert len(re.findall(r"stroke: var\(--blue\); stroke-opacity: 0.4", chart)) == 1


def test_what_has_nothing_to_see_is_a_sentence() -> None:
    def said(*lines: Line, same: float = 1e-3) -> str:
        chart = line_chart("Loss", lines, x_name="step", same=same)
        assert "<svg" not in chart
        found = re.search(r"<h3>Loss:</h3> <p>(.*)</p>", chart)
        assert found is not None
        return found[1]

    assert said() == "No values."
    assert said(Line(name="", x=[1, 2], y=[None, np.nan])) == "No values."
    assert said(Line(name="", x=[10], y=[2.0])) == "2 at step 10."
    assert said(Line(name="", x=[1, 2], y=[0.002, 0.002])) == "0.002 at every step."
    a, b = Line(name="a", x=[1, 2], y=[25, 25]), Line(name="b", x=[1], y=[50])
    assert said(a, b) == "a 25.0 at every step, b 50.0 at step 1."
    dashed = Line(name="published", x=[0, 9], y=[1, 2], kind="dashed")
    assert said(a, dashed) == "a 25.0 at every step."
    memory = Line(name="", x=[1, 2], y=[1.05, 1.09])
    assert said(memory, same=0.05) == "1.05 to 1.09 at every step."


def test_one_line_that_changes_makes_a_chart_of_all() -> None:
    lines = [Line(name="a", x=[1, 2], y=[3.0, 3.0]), Line(name="b", x=[1, 2], y=[1.0, 2.0])]
    assert "<svg" in line_chart("Loss", lines, x_name="step")


def test_text_and_lines_have_the_colours_of_the_page() -> None:
    chart = line_chart("Loss", [Line(name="", x=[1, 2], y=[1, 2])], x_name="step")
    drawn = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", chart))
    assert {"var(--muted)", "var(--blue)", "var(--grid)", "var(--rule)"} <= drawn
    assert not [colour for colour in drawn if colour.startswith("#")]


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
