"""Scores as a page writes them."""

from swin_dense.tools.report.score_text import in_percent, in_points, in_short


def test_scores_are_in_percent_differences_have_a_sign_and_counts_are_short() -> None:
    assert [in_percent(score) for score in (0.4567, 0.0, -1.0, None)] == ["45.7", "0.0", "–", "–"]  # noqa: RUF001
    assert [in_points(change) for change in (0.012, -0.012, 0.0001, None)] == [
        *("+1.2", "−1.2", "0.0", "–"),  # noqa: RUF001
    ]
    assert [in_short(count) for count in (9999, 10_000, 2_500_000, 3 * 10**9)] == [
        *("9999", "10.0 k", "2.5 M", "3.0 G"),
    ]
