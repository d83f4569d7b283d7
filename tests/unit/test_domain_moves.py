"""What each CRM event asks of a lead at each stage."""

import pytest

from leadstream.schemas.events import CrmEvent
from leadstream.streams.domain.model import Model
from leadstream.streams.domain.moves import decide_move
from leadstream.streams.domain.stages import Stage, skipped_between

# A dot changes nothing. Rejected and disqualified give no reason; `+` marks the leak that this is,
# `>` the opportunity that was passed on the way.
TABLE = """
                          anonymous known  engaged mql    sal    sql    opportunity customer nurture disqualified lost   merged
lead_created              known     .      .       .      .      .      .           .        .       .            .      .
lead_updated              .         .      .       .      .      .      .           .        .       .            .      .
lead_owner_changed        .         .      .       .      .      .      .           .        .       .            .      .
lead_accepted             sal       sal    sal     sal    .      .      .           .        sal     sal          sal    .
lead_qualified            sql       sql    sql     sql    sql    .      .           .        sql     sql          sql    .
lead_converted            sql       sql    sql     sql    sql    .      .           .        sql     sql          sql    .
opportunity_created       opp       opp    opp     opp    opp    opp    .           .        opp     opp          opp    .
opportunity_stage_changed opp       opp    opp     opp    opp    opp    .           .        opp     opp          .      .
opportunity_won           won       won    won     won    won    won    won         .        won     won          won    .
opportunity_lost          >lost+    >lost+ >lost+  >lost+ >lost+ >lost+ lost+       .        >lost+  >lost+       .      .
opportunity_reopened      .         .      .       .      .      .      .           .        .       .            opp    .
lead_rejected             rest+     rest+  rest+   rest+  rest+  rest+  .           .        .       .            .      .
lead_disqualified         out+      out+   out+    out+   out+   out+   out+        .        out+    .            out+   .
lead_recycled             rest      rest   rest    rest+  rest+  rest+  .           .        .       rest         rest   .
lead_merged               .         .      .       .      .      .      .           .        .       .            .      .
sales_activity_logged     .         .      .       .      .      .      .           .        .       .            .      .
feedback_submitted        .         .      .       .      .      .      .           .        .       .            .      .
consent_changed           .         .      .       .      .      .      .           .        .       .            .      .
erasure_requested         .         .      .       .      .      .      .           .        .       .            .      .
never_heard_of            .         .      .       .      .      .      .           .        .       .            .      .
"""  # noqa: E501
SHORT = {"opp": "opportunity", "won": "customer", "rest": "nurture", "out": "disqualified"}


def cases() -> list[tuple[str, str, str]]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [
        (row[0], stage, cell) for row in rows for stage, cell in zip(header, row[1:], strict=True)
    ]


def crm(event_type: str, **fields: str) -> CrmEvent:
    return CrmEvent(event_id="e", event_time=0, lead_id="l", type=event_type, **fields)


@pytest.mark.parametrize(("event_type", "stage", "cell"), cases())
def test_each_event_at_each_stage(event_type: str, stage: str, cell: str) -> None:
    move = decide_move(Stage(stage), crm(event_type), Model(version="1"))
    if cell == ".":
        assert move is None
        return
    assert move is not None
    target = cell.strip(">+")
    assert move.target == SHORT.get(target, target)
    assert move.leak == ("missing_reason" if cell.endswith("+") else None)
    assert move.via == (Stage.OPPORTUNITY if cell.startswith(">") else None)


@pytest.mark.parametrize("stage", ["mql", "sal", "sql"])
@pytest.mark.parametrize(
    ("wording", "target", "reason", "leak"),
    [
        ("no_budget", "nurture", "no_budget", None),
        ("No-Budget", "nurture", "no_budget", None),
        ("wrong industry", "disqualified", "wrong_industry", None),
        ("spam", "disqualified", "spam", None),
        ("Duplicate", "engaged", "duplicate", None),
        ("Call me maybe", "nurture", "not_ready", None),
        ("he was rude", "nurture", None, "unmapped_reason"),
        ("  ", "nurture", None, "missing_reason"),
    ],
)
def test_the_reason_of_a_rejection_decides_where_the_lead_goes(
    stage: str, wording: str, target: str, reason: str | None, leak: str | None
) -> None:
    model = Model(version="1", reason_wordings={"call me maybe": "not_ready"})
    move = decide_move(Stage(stage), crm("lead_rejected", reason=wording), model)
    assert move is not None
    assert (move.target, move.reason, move.leak) == (target, reason, leak)


@pytest.mark.parametrize("stage", ["known", "engaged"])
def test_a_procedural_rejection_of_a_lead_that_was_not_handed_over_changes_nothing(
    stage: str,
) -> None:
    event = crm("lead_rejected", reason="duplicate")
    assert decide_move(Stage(stage), event, Model(version="1")) is None


def test_a_conversion_that_names_an_opportunity_creates_it() -> None:
    move = decide_move(
        Stage.SALES_QUALIFIED, crm("lead_converted", opportunity_id="o"), Model(version="1")
    )
    assert move is not None
    assert move.target is Stage.OPPORTUNITY


@pytest.mark.parametrize(
    ("origin", "target", "skipped"),
    [
        ("known", "customer", ["mql", "sal", "sql", "opportunity"]),
        ("engaged", "sal", ["mql"]),
        ("mql", "sal", []),
        ("nurture", "sql", ["mql", "sal"]),
        ("lost", "opportunity", []),
        ("lost", "customer", ["opportunity"]),
        ("anonymous", "known", []),
    ],
)
def test_the_stages_that_a_jump_leaves_out(origin: str, target: str, skipped: list[str]) -> None:
    assert list(skipped_between(Stage(origin), Stage(target))) == skipped
