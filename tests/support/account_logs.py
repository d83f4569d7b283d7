"""Logs of leads in a few accounts, models that ask of accounts, and what both must come to.

The oracle has no deltas and no sweep: it folds each lead from all that it has, looks at each
account at each instant anew, tells the leads what it sees, and begins again until nobody hears
news.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from lead_logs import DAY_MS, HOUR_MS, START_MS

from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import CRM_EVENT_TYPES, CrmEvent, EpochMs, LeadEvent, Touchpoint
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.kept import Standing
from leadstream.streams.domain.lead import Limits, absorb, effective_decisions, new_record
from leadstream.streams.domain.rollups import MOST_HOPS
from leadstream.streams.domain.standings import told_event
from leadstream.streams.domain.state_parts import AccountNow
from leadstream.streams.domain.stored import Decision
from leadstream.streams.domain.view import view
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.models import parse_model

SPAN_DAYS = 6
END_MS = START_MS + 3 * SPAN_DAYS * DAY_MS
WIDE = Limits(horizon_ms=365 * DAY_MS)
ENGAGED = ("engaged", "mql", "sal", "sql", "opportunity", "customer")
LADDER = ("anonymous", "disqualified", "lost", "nurture", "known", *ENGAGED)
Event = Touchpoint | CrmEvent

_MODEL = """
version: "{version}"
active_from: {active_from}
fit:
  max: 20
  rules:
    - {{name: boss, points: 12, when: 'attr("title") == "boss"'}}
engagement:
  rules:
    - {{name: page, on: page_viewed, points: 7, decay: {{half_life_days: 2}}}}
    - name: warm
      on: content_downloaded
      points: 9
      when: '{warm}'
      decay: {{points_per_day: 3}}
criteria:
  engaged:
    - {{name: some, score: engagement, threshold: 7, disarm: 4}}
    - {{name: crowd, when: '{crowd}'}}
  mql:
    - {{name: asks, hand_raise: true, on: demo_requested}}
    - {{name: together, score: engagement, threshold: 9, disarm: 6, when: '{together}'}}
  sql: [{{name: big, when: '{big}'}}]
nurture:
  personas:
    - {{name: boss, when: 'attr("title") == "boss"'}}
    - {{name: user, when: 'attr("title") == "user"'}}
routes: [{{to: account team, when: '{route}'}}, {{to: others}}]
reasons: {{later: {{kind: timing, cooldown: 1d}}}}
sla:
  policies:
    - {{name: answer, start: mql, when: '{route}', target: {{default: 2h}}, met_by: lead_accepted}}
leaks: {{languishing: {{mql: 2d}}}}
{accounts}
"""
_SECTION = "accounts: {{buying_group: [boss, user], free_mail: club.org, score_step: {step}}}"
_PLAIN = {
    "warm": "true",
    "crowd": "false",
    "together": "score.engagement >= 20",
    "big": "false",
    "route": 'lead.persona == "boss"',
}
_READING = {
    "warm": "account.engaged_people >= 1",
    "crowd": "account.engaged_people >= 2",
    "together": "account.engaged_people >= 2",
    "big": "account.score >= 20 && account.has_buying_group",
    "route": 'account.stage == "sql" || account.stage == "customer"',
}


def _text(version: str, section: str, active_from: str = "1970-01-01", **asks: str) -> str:
    return _MODEL.format(version=version, active_from=active_from, accounts=section, **asks)


def _models(*texts: str) -> ModelSet:
    return ModelSet([parse_model(text, f"v{n}.yaml") for n, text in enumerate(texts, 1)])


MODELS = {
    "told": _models(_text("1", _SECTION.format(step=5), **_PLAIN)),
    "read": _models(_text("1", _SECTION.format(step=5), **_READING)),
    "then told": _models(
        _text("1", "", **_PLAIN), _text("2", _SECTION.format(step=2), "2026-03-09", **_PLAIN)
    ),
    "counts only": _models(
        _text("1", "accounts: {}", **_PLAIN | {"together": "account.engaged_people >= 2"})
    ),
    "none then read": _models(
        _text("1", "", **_PLAIN),
        _text("2", _SECTION.format(step=1), "2026-03-09", **_READING),
    ),
    "read then told": _models(
        _text("1", _SECTION.format(step=3), **_READING),
        _text("2", "accounts: {}", "2026-03-10", **_PLAIN),
    ),
}
READING = [name for name, models in MODELS.items() if models.reads_accounts]

_DOMAINS = ("acme.com", "mail.acme.com", "beta.io", "gmail.com", "club.org")
_KINDS = (
    *["page_viewed"] * 5, *["content_downloaded"] * 3, "form_submitted", "form_submitted",
    "demo_requested", "group", "lead_updated", "lead_updated", "lead_rejected",
    "lead_disqualified", "lead_accepted", "opportunity_won", "opportunity_lost", "lead_merged",
)  # fmt: skip


@st.composite
def account_logs(draw: Any, leads: int = 5, most: int = 24) -> list[Event]:
    """Draw a log: each lead begins with who it is; instants collide now and then."""
    events: list[Event] = []
    names = [f"l{n}" for n in range(draw(st.integers(2, leads)))]
    for number, lead_id in enumerate(names):
        domain = draw(st.sampled_from(_DOMAINS[:3]))
        title = draw(st.sampled_from(["boss", "user", "other"]))
        at = START_MS + draw(st.integers(0, 12)) * HOUR_MS
        events.append(
            _event(f"b{number}", "form_submitted", lead_id, at, {"title": title}, f"x@{domain}")
        )
    for number in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(_KINDS))
        # Whole hours, so that leads do things at once, and a millisecond after each other.
        at = START_MS + draw(st.integers(0, SPAN_DAYS * 24)) * HOUR_MS
        at += draw(st.sampled_from([0, 0, 0, 1, 2, 7]))
        facts: dict[str, str] = {}
        email = None
        if kind == "form_submitted":
            email = f"x@{draw(st.sampled_from(_DOMAINS))}"
        elif kind == "group":
            facts = {"group_id": draw(st.sampled_from(["g", ""]))}
        elif kind == "lead_updated":
            facts = {"account_id": draw(st.sampled_from(["A", "B", ""]))}
        lead_id = draw(st.sampled_from(names))
        other = draw(st.sampled_from(names))
        if kind == "lead_merged" and other == lead_id:
            kind = "page_viewed"
        events.append(_event(f"e{number}", kind, lead_id, at, facts, email, merged=other))
    order = draw(st.permutations(events))
    return [*order, *draw(st.lists(st.sampled_from(events), max_size=4))]


def _event(
    event_id: str,
    kind: str,
    lead_id: str,
    at: EpochMs,
    facts: dict[str, str],
    email: str | None = None,
    merged: str = "",
) -> Event:
    common: dict[str, Any] = {"event_id": event_id, "event_time": at, "type": kind}
    if kind not in CRM_EVENT_TYPES:
        return Touchpoint(**common, lead_id=lead_id, email=email, properties=facts)
    return CrmEvent(
        **common,
        lead_id=lead_id,
        attributes=facts,
        owner="ann" if kind == "lead_accepted" else None,
        reason="later" if kind in ("lead_rejected", "lead_disqualified") else None,
        opportunity_id="o" if kind.startswith("opportunity") else None,
        merged_lead_id=merged if kind == "lead_merged" else None,
    )


@dataclass
class Expected:
    """What a log comes to: decisions and the state of each lead, and how each stands."""

    decisions: dict[str, list[Decision]]
    states: dict[str, LeadState]
    standings: dict[str, list[Standing]]
    rounds: int


def expected(log: list[Event], models: ModelSet) -> Expected:
    """Return what a log comes to, with merges that only end a lead."""
    own: defaultdict[str, dict[str, LeadEvent]] = defaultdict(dict)
    for event in log:
        for each in accept(event, StatedIdentity()):
            own[each.lead_id].setdefault(each.event_id, each)
    return settled({lead_id: list(events.values()) for lead_id, events in own.items()}, models)


def settled(own: dict[str, list[LeadEvent]], models: ModelSet) -> Expected:
    """Return what leads come to that have these events, and are told of their accounts."""
    given: dict[str, dict[str, LeadEvent]] = {lead_id: {} for lead_id in own}
    for rounds in range(1, 500):
        all_of = {lead_id: [*own[lead_id], *given[lead_id].values()] for lead_id in own}
        decisions = {
            lead_id: effective_decisions(lead_id, events, models, END_MS)
            for lead_id, events in all_of.items()
        }
        standings = {
            lead_id: [d for d in found if isinstance(d, Standing)]
            for lead_id, found in decisions.items()
        }
        news = _tell(standings, models)
        if news == given:
            states = {lead_id: _state(lead_id, all_of[lead_id], models) for lead_id in own}
            told = {
                lead_id: [d for d in found if not isinstance(d, Standing)]
                for lead_id, found in decisions.items()
            }
            return Expected(told, states, standings, rounds)
        given = news
    raise AssertionError("leads and accounts tell each other news without end")


def _state(lead_id: str, events: list[LeadEvent], models: ModelSet) -> LeadState:
    record = new_record(lead_id)
    absorb(record, events, models, WIDE, END_MS)
    return view(record, models)


def _tell(
    standings: dict[str, list[Standing]], models: ModelSet
) -> dict[str, dict[str, LeadEvent]]:
    told: dict[str, dict[str, LeadEvent]] = {lead_id: {} for lead_id in standings}
    absorbed = {lead_id for lead_id, found in standings.items() if _is_absorbed(found)}
    everybody = [s for found in standings.values() for s in found]
    for account in {s.account for s in everybody} - {""}:
        heard: dict[str, AccountNow] = {}
        last_told = AccountNow(account)
        heard_of = [s for s in everybody if account in s.told and s.lead_id not in absorbed]
        for at in sorted({s.occurred_at for s in heard_of}):
            news = [s for s in heard_of if s.occurred_at == at]
            present = {
                lead_id: last
                for lead_id, found in standings.items()
                if (last := standing_at(found, at)) is not None
                and last.account == account
                and lead_id not in absorbed
            }
            for lead_id in heard.keys() - present.keys():
                del heard[lead_id]
            now = _seen(account, list(present.values()), models, at)
            changed_after = 1 + max((s.hops for s in news), default=0)
            is_told = now != last_told and changed_after <= MOST_HOPS
            if is_told:
                last_told = now
            for lead_id in present:
                after = changed_after
                if lead_id not in heard and not is_told:
                    came = min(s.hops for s in news if s.lead_id == lead_id)
                    after = came + 1
                if last_told != heard.get(lead_id, AccountNow(account)) and after <= MOST_HOPS:
                    crm = told_event(lead_id, at + 1, last_told, after)
                    told[lead_id][crm.event_id] = LeadEvent(
                        lead_id=lead_id, event_id=crm.event_id, occurred_at=at + 1, crm=crm
                    )
                heard[lead_id] = last_told
    return told


def standing_at(found: list[Standing], at: EpochMs) -> Standing | None:
    """Return how a lead stands after an instant."""
    until = [s for s in found if s.occurred_at <= at]
    return max(until, key=lambda s: (s.occurred_at, s.place)) if until else None


def _is_absorbed(found: list[Standing]) -> bool:
    last = standing_at(found, END_MS)
    return last is not None and last.stage == "merged"


def _seen(account: str, present: list[Standing], models: ModelSet, at: EpochMs) -> AccountNow:
    rules = models.at(at).accounts
    if rules is None:
        return AccountNow(account)
    engaged = [s for s in present if s.stage in ENGAGED]
    judged = [s for s in present if s.stage not in ("lost", "disqualified")]
    score = round(sum(s.engagement for s in judged) + max((s.fit for s in judged), default=0), 4)
    furthest = max((s.stage for s in present), key=LADDER.index, default="")
    wanted = set(rules.buying_group)
    complete = bool(wanted) and wanted <= {s.persona for s in engaged}
    return AccountNow(
        account,
        len(engaged) if "account.engaged_people" in rules.reads else 0,
        score if "account.score" in rules.reads else 0.0,
        furthest if "account.stage" in rules.reads else "",
        complete and "account.has_buying_group" in rules.reads,
    )


def accounts_of(found: Expected) -> dict[str, dict[str, Any]]:
    """Return what is told of each account in the end, counted over the leads' states."""
    stands: defaultdict[str, list[tuple[LeadState, Standing]]] = defaultdict(list)
    for lead_id, state in found.states.items():
        last = standing_at(found.standings[lead_id], END_MS)
        if last is not None and last.account and last.stage != "merged":
            # It stands where its state says that it does, by the account that was told last.
            assert (state.stage, state.persona or "") == (last.stage, last.persona)
            stands[last.account].append((state, last))
    return {
        account: {
            "people": sum(state.stage != "anonymous" for state, _ in leads),
            "visitors": sum(state.stage == "anonymous" for state, _ in leads),
            "engaged_people": sum(state.stage in ENGAGED for state, _ in leads),
            "stage": max((state.stage for state, _ in leads), key=LADDER.index),
            "engagement": round(
                sum(s.engagement for _, s in leads if s.stage not in ("lost", "disqualified")), 4
            ),
            "personas": {s.persona for _, s in leads if s.stage in ENGAGED and s.persona},
        }
        for account, leads in stands.items()
    }
