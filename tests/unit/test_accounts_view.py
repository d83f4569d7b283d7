"""Accounts in ClickHouse, against a count by hand over the states."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sink_records import DAY_MS, MAIN_LINE, START_MS, lead_state, random_states

from leadstream.schemas.decisions import LeadState, Membership, Score
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate

PAGE = Path(__file__).parents[2] / "infra/docs/accounts.md"
PERSONAS = ("boss", "user", "buyer", None)
ENGAGED = ("engaged", "mql", "sal", "sql", "opportunity", "customer")
LADDER = ("anonymous", "disqualified", "lost", "nurture", *MAIN_LINE)
WANTED = {"1": ["boss", "user"], "2": []}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path_factory.mktemp("accounts"))) as client:
        migrate(client)
        client.require_database()
        yield client


@pytest.fixture
def client(opened: ClickHouse) -> ClickHouse:
    opened.command(f"TRUNCATE TABLE {opened.table('lead_state')}")
    return opened


def member(lead_id: str, stage: str = "known", **changes: Any) -> LeadState:
    """Return the state of somebody at acme.com who stands there and came all the way."""
    way = MAIN_LINE[: MAIN_LINE.index(stage) + 1] if stage in MAIN_LINE else ["known"]
    given: dict[str, Any] = {
        "stage": stage,
        "reached": dict.fromkeys(way, START_MS),
        "account": Membership(id="domain:acme.com", buying_group=WANTED["1"]),
    }
    return lead_state(lead_id, 1, **{**given, **changes})


def score(fit: float, engagement: float, grade: str = "C") -> Score:
    return Score(total=fit + engagement, fit=fit, engagement=engagement, grade=grade)


def accounts(client: ClickHouse, what: str = "*") -> list[dict[str, Any]]:
    found = client.query(f"SELECT {what} FROM v_accounts ORDER BY account")
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_people_count_once_and_who_was_absorbed_never(client: ClickHouse) -> None:
    load(
        client,
        [
            member("a", "engaged"),
            member("b"),
            member("c", "merged", merged_into="a"),
            member("d", "mql", merged_into="a"),
            member("e", "anonymous", reached={"anonymous": START_MS}),
            lead_state("f", 1),
        ],
    )
    (acme,) = accounts(client)
    assert (acme["account"], acme["known_by"]) == ("domain:acme.com", "domain")
    assert (acme["people"], acme["visitors"], acme["engaged_people"]) == (2, 1, 1)
    assert acme["stage"] == "engaged"


@pytest.mark.parametrize(
    ("stages", "engaged", "stage"),
    [
        (("nurture", "disqualified"), 0, "nurture"),
        (("lost", "disqualified"), 0, "lost"),
        (("disqualified", "anonymous"), 0, "disqualified"),
        (("nurture", "known"), 0, "known"),
        (("customer", "lost", "sal"), 2, "customer"),
    ],
    ids=str,
)
def test_engaged_is_who_stands_there_now(
    client: ClickHouse, stages: tuple[str, ...], engaged: int, stage: str
) -> None:
    came_far = {"known": START_MS, "engaged": START_MS, "mql": START_MS}
    load(client, [member(str(n), each, reached=came_far) for n, each in enumerate(stages)])
    (acme,) = accounts(client)
    assert (acme["engaged_people"], acme["stage"]) == (engaged, stage)


def test_the_score_adds_what_people_do_and_takes_the_best_fit(client: ClickHouse) -> None:
    load(
        client,
        [
            member("a", score=score(20, 10.5, "B")),
            member("b", score=score(35, 4.25, "A")),
            member("c", "lost", score=score(90, 90, "A")),
            member("d", "disqualified", score=score(90, 90, "A")),
        ],
    )
    (acme,) = accounts(client, "score, engagement, fit, grade")
    assert acme == {"score": 49.75, "engagement": 14.75, "fit": 35, "grade": "A"}


def test_where_nobody_counts_there_is_no_score_and_no_grade(client: ClickHouse) -> None:
    load(client, [member("c", "lost", score=score(90, 90, "A"))])
    assert accounts(client, "score, grade") == [{"score": 0, "grade": "(none)"}]


def test_a_persona_is_covered_by_who_is_engaged(client: ClickHouse) -> None:
    load(client, [member("a", "engaged", persona="boss"), member("b", persona="user")])
    what = "covered, missing, has_buying_group"
    expected = {"covered": ["boss"], "missing": ["user"], "has_buying_group": False}
    assert accounts(client, what) == [expected]
    load(client, [msgspec.structs.replace(member("b", "mql", persona="user"), revision=2)])
    expected = {"covered": ["boss", "user"], "missing": [], "has_buying_group": True}
    assert accounts(client, what) == [expected]


def test_an_opportunity_that_several_people_share_is_at_stake_once(client: ClickHouse) -> None:
    def deal(lead_id: str, opportunity: str | None, amount: str | None, **more: Any) -> LeadState:
        return member(
            lead_id,
            more.pop("stage", "opportunity"),
            opportunity_id=opportunity,
            amount=None if amount is None else Decimal(amount),
            **{"currency": "EUR", **more},
        )

    load(
        client,
        [
            deal("a", "o1", "100.00"),
            deal("b", "o1", "80.00", last_event_at=START_MS + DAY_MS),
            deal("c", "o2", "30.50"),
            deal("d", None, "1.00"),
            deal("e", None, "2.00", currency="USD"),
            deal("f", "o3", None),
            deal("g", "o4", "5000.00", stage="customer"),
        ],
    )
    (acme,) = accounts(client, "open_amounts, won")
    assert acme["open_amounts"] == {"EUR": Decimal("111.50"), "USD": Decimal("2.00")}
    assert acme["won"] == 1


def test_what_the_page_asks_is_answered(client: ClickHouse) -> None:
    load(client, [member(lead_id, "engaged", persona="boss") for lead_id in "abc"])
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert [len(client.query(query).rows) for query in queries] == [1, 3]


def by_hand(states: list[LeadState]) -> list[dict[str, Any]]:
    """Count accounts one by one, as somebody with a list of leads would."""
    found = []
    stands = [s for s in states if s.stage != "merged" and not s.merged_into]
    for account in sorted({s.account.id for s in stands if s.account}):
        leads = [s for s in stands if s.account and s.account.id == account]
        last = max(leads, key=lambda s: (s.last_event_at, s.lead_id))
        assert last.account is not None
        engaged = [s for s in leads if s.stage in ENGAGED]
        judged = [s for s in leads if s.stage not in ("disqualified", "lost")]
        far = [
            max(
                (
                    MAIN_LINE.index(stage) + 1
                    for stage in (*s.reached, s.stage)
                    if stage in MAIN_LINE
                ),
                default=0 if s.stage == "anonymous" else 1,
            )
            for s in leads
        ]
        covered = [w for w in last.account.buying_group if w in {s.persona for s in engaged}]
        deals: dict[str, LeadState] = {}
        for s in sorted(leads, key=lambda s: (s.last_event_at, s.lead_id)):
            if s.stage == "opportunity" and s.amount is not None:
                deals[s.opportunity_id or s.lead_id] = s
        amounts: dict[str, Decimal] = {}
        for deal in deals.values():
            assert deal.amount is not None
            amounts[deal.currency or ""] = (
                amounts.get(deal.currency or "", Decimal(0)) + deal.amount
            )
        doing = round(sum(s.score.engagement for s in judged), 4)
        fit = max((s.score.fit for s in judged), default=0.0)
        found.append(
            {
                "account": account,
                "known_by": account.partition(":")[0],
                "people": sum(1 for each in far if each),
                "visitors": far.count(0),
                "engaged_people": len(engaged),
                "stage": max((s.stage for s in leads), key=LADDER.index),
                "score": round(doing + fit, 4),
                "engagement": doing,
                "fit": fit,
                "grade": min((s.score.grade for s in judged), default="(none)"),
                "covered": covered,
                "missing": [w for w in last.account.buying_group if w not in covered],
                "has_buying_group": covered == last.account.buying_group != [],
                "mql": sum(1 for each in far if each >= 3),
                "sql": sum(1 for each in far if each >= 5),
                "won": sum(1 for each in far if each >= 7),
                "open_amounts": amounts,
            }
        )
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_view_is_what_a_count_by_hand_gives(client: ClickHouse, seed: int) -> None:
    chance = random.Random(seed)
    states = []
    for state in random_states(400, seed):
        account, wanted = chance.randrange(60), chance.choice(list(WANTED.values()))
        kind = ("crm", "group", "domain")[account % 3]
        states.append(
            lead_state(
                state.lead_id,
                state.revision,
                stage=state.stage,
                reached=state.reached,
                merged_into=state.merged_into,
                persona=chance.choice(PERSONAS),
                score=score(
                    chance.randrange(40), chance.randrange(400_000) / 10_000, chance.choice("ABCDF")
                ),
                last_event_at=START_MS + chance.randrange(100) * DAY_MS,
                amount=chance.choice([None, Decimal(chance.randrange(10**6)) / 100]),
                currency=chance.choice(["EUR", "USD", None]),
                opportunity_id=chance.choice([None, "o1", "o2"]),
                account=None
                if chance.random() < 0.1
                else Membership(id=f"{kind}:{account}", buying_group=wanted),
            )
        )
    load(client, states)
    rows = accounts(client)
    for row in rows:
        assert row.pop("first_event_at") <= row.pop("last_event_at")
        row["open_amounts"] = dict(row["open_amounts"])
    assert rows == by_hand(states)
