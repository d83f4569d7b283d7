"""Whatever others write meanwhile, no record of theirs is skipped with what was handed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leadstream.streams.engine.inputs import behind
from leadstream.streams.engine.producing import Span

THEIRS, OURS, MARKER = "theirs", "ours", "marker"

PARTS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=3)
TRANSACTIONS = st.lists(
    st.tuples(PARTS, st.integers(0, 2), st.integers(0, 2), st.integers(0, 12)), max_size=8
)


@given(TRANSACTIONS)
def test_what_is_skipped_is_ours_and_markers(
    transactions: list[tuple[list[tuple[int, int]], int, int, int]],
) -> None:
    """Each has parts of (others' records before it, ours), others' before and behind its marker.

    The last number says how many offsets are read before the next one is told of.
    """
    log: list[str] = []
    at, written_to = 0, None
    skipped: list[str] = []
    for parts, before, after, reads in transactions:
        spans = []
        for theirs, ours in parts:
            log += [THEIRS] * theirs
            spans.append(Span(len(log), len(log) + ours))
            log += [OURS] * ours
        to = behind(spans, at, written_to)
        assert to >= at
        skipped += log[at:to]
        at, written_to = to, spans[-1].end
        log += [*[THEIRS] * before, MARKER, *[THEIRS] * after]
        # A reader knows the last record that it got, and nothing of markers behind that.
        for place in range(at, min(at + reads, len(log))):
            if log[place] != MARKER:
                at = place + 1
    assert THEIRS not in skipped


def test_alone_nothing_of_ours_is_read_again() -> None:
    at, written_to = 0, None
    for number in range(5):
        begin = number * 11
        spans = [Span(begin, begin + 4), Span(begin + 4, begin + 10)]
        at = behind(spans, at, written_to)
        written_to = spans[-1].end
        assert at == written_to


def test_what_others_wrote_first_is_read_first() -> None:
    assert behind([Span(5, 9)], 3, None) == 3
    assert behind([Span(5, 9)], 4, None) == 4, "only behind our own transaction is our marker"
    assert behind([Span(5, 9)], 4, 4) == 9
    assert behind([Span(5, 9)], 5, None) == 9
    assert behind([Span(5, 9), Span(10, 12)], 5, None) == 9
