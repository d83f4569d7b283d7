"""What synthetic sales people do with the leads they are handed; some of it leaks."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from leadstream.infra.embedded.diary import DAY, HOUR, MINUTE, at_work
from leadstream.infra.embedded.market import DIRECT, NURTURE_EMAIL, weighted
from leadstream.infra.embedded.visits import Person, raise_hand, receive_emails, research, visit


@dataclass(frozen=True, slots=True)
class Rep:
    """A sales representative; each acts after `speed_h` working hours or so, and not always."""

    name: str
    speed_h: float
    diligence: float
    closing: float


REPS: Final = (
    Rep("amelia.hart", 0.6, 0.99, 1.25), Rep("bruno.costa", 1.2, 0.97, 1.1),
    Rep("chiara.conti", 1.8, 0.96, 1.15), Rep("daniel.weiss", 2.5, 0.94, 1.0),
    Rep("elena.petrova", 3.0, 0.95, 1.05), Rep("farid.nasser", 5.0, 0.9, 0.95),
    Rep("grace.okafor", 8.0, 0.9, 1.0), Rep("henrik.larsen", 14.0, 0.82, 0.85),
    Rep("ivan.marek", 26.0, 0.74, 0.7), Rep("julia.stone", 48.0, 0.62, 0.6),
)  # fmt: skip

_UNOWNED_SHARE = 0.05
_SECOND_CYCLES_MOST = 2
_TIMING: Final = (
    ("not_ready", 22), ("Not now", 12), ("Bad timing", 8), ("no_budget", 14),
    ("No budget this year", 8), ("no_authority", 8), ("no_response", 16), ("Unresponsive", 8),
    ("No answer", 4),
)  # fmt: skip
_FIT: Final = (
    ("too_small", 8), ("Too small", 5), ("wrong_industry", 5), ("Not our industry", 3),
    ("wrong_role", 6), ("no_need", 8), ("has_solution", 6), ("Uses competitor", 3),
    ("wrong_geo", 3),
)  # fmt: skip
_PROCEDURAL: Final = (
    ("duplicate", 4),
    ("Outside territory", 3),
    ("missing_data", 3),
    ("Already a customer", 2),
)
_OWN_WORDS: Final = ("Ghosted", "Bad vibe", "see my notes", "Gatekeeper")
_LOST: Final = (
    ("no_budget", 5), ("has_solution", 6), ("no_response", 4), ("Price", 3), ("not_ready", 3),
    ("", 1),
)  # fmt: skip
_DEAL_STAGES: Final = ("discovery", "proposal", "negotiation")
_LIST_PRICE: Final = {"USD": 1.0, "EUR": 0.95, "GBP": 0.8, "BRL": 5.0}


def sell(person: Person, at: int, cycle: int = 1) -> None:
    """Work a lead that was handed over at `at`, until it is won, lost, sent back or forgotten."""
    rng, diary = person.diary.rng, person.diary
    rep = rng.choice(REPS)
    if rng.random() < _UNOWNED_SHARE:
        if rng.random() < 0.5:
            return
        at = at_work(rng, at + rng.randint(5, 15) * DAY)
    diary.crm(
        at + rng.randint(1, 25) * MINUTE, "lead_owner_changed", actor="routing", owner=rep.name
    )
    if rng.random() > rep.diligence:
        if rng.random() < 0.5:
            return
        at += rng.randint(3, 9) * DAY
    at = at_work(rng, at + int(rng.lognormvariate(0, 0.8) * rep.speed_h * HOUR))
    keen = 0.12 + 0.55 * person.interest + person.profile.fit / 130
    chance = rng.random()
    if chance < 0.04:
        _accept_blindly(person, rep, at)
        return
    at = _follow_up(person, rep, at, 1 + int(rng.expovariate(1 / 0.7)))
    if chance < 0.08:
        _convert(person, rep, at, keen)
    elif chance < 0.30 + 0.45 * keen:
        diary.crm(at, "lead_accepted", actor=rep.name, owner=rep.name)
        _work(person, rep, at, keen, cycle)
    else:
        _turn_down(person, rep, at, cycle)


def find(person: Person, at: int) -> None:
    """Begin with a lead that sales found by itself."""
    rng, diary = person.diary.rng, person.diary
    rep = rng.choice(REPS)
    at = at_work(rng, at)
    person.in_crm = person.firm_known = True
    diary.crm(
        at, "lead_created", actor=rep.name, owner=rep.name,
        attributes=person.profile.person() | person.profile.firm(),
    )  # fmt: skip
    at = _follow_up(person, rep, at + HOUR, rng.randint(1, 3))
    if rng.random() < 0.6:
        diary.crm(at, "lead_accepted", actor=rep.name, owner=rep.name)
        _work(person, rep, at, 0.3, cycle=1)


def dismiss(person: Person, at: int, reason: str) -> None:
    """Throw out what never was a lead."""
    rng = person.diary.rng
    rep = rng.choice(REPS)
    at = at_work(rng, at + int(rep.speed_h * HOUR))
    kind = "lead_rejected" if rng.random() < 0.5 else "lead_disqualified"
    person.diary.crm(at, kind, actor=rep.name, owner=rep.name, reason=reason)


def _follow_up(person: Person, rep: Rep, at: int, most: int) -> int:
    rng = person.diary.rng
    for number in range(min(most, 6)):
        how = weighted(rng, (("call", 5), ("email", 5), ("linkedin", 1)))
        person.diary.crm(
            at, "sales_activity_logged", actor=rep.name, owner=rep.name, attributes={"kind": how}
        )
        if how == "email" and rng.random() < 0.2:
            person.diary.touch(at + rng.randint(1, 20) * HOUR, "email_replied", NURTURE_EMAIL)
        if number + 1 < most:
            at = at_work(rng, at + rng.randint(12, 90) * HOUR)
    return at + rng.randint(5, 90) * MINUTE


def _accept_blindly(person: Person, rep: Rep, at: int) -> None:
    """Accept to stop the clock, and let the lead lie: a leak."""
    person.diary.crm(at, "lead_accepted", actor=rep.name, owner=rep.name)


def _turn_down(person: Person, rep: Rep, at: int, cycle: int) -> None:
    rng, diary = person.diary.rng, person.diary
    said = {"actor": rep.name, "owner": rep.name}
    chance = rng.random()
    if chance < 0.12:
        diary.crm(at, "lead_rejected", **said)
    elif chance < 0.2:
        diary.crm(at, "lead_rejected", reason=rng.choice(_OWN_WORDS), **said)
    elif chance < 0.28:
        diary.crm(at, "lead_rejected", reason=weighted(rng, _PROCEDURAL), **said)
    elif chance < 0.55:
        kind = "lead_disqualified" if rng.random() < 0.6 else "lead_rejected"
        diary.crm(at, kind, reason=weighted(rng, _FIT), **said)
    else:
        _recycle(person, rep, at, cycle)
    if rng.random() < 0.1:
        words = {"rating": str(rng.randint(1, 5))}
        diary.crm(at + MINUTE, "feedback_submitted", actor=rep.name, attributes=words)


def _recycle(person: Person, rep: Rep, at: int, cycle: int) -> None:
    """Send the lead back to marketing, which may bring it round again."""
    rng, diary = person.diary.rng, person.diary
    diary.crm(at, "lead_recycled", actor=rep.name, owner=rep.name, reason=weighted(rng, _TIMING))
    rests_until = at + rng.randint(35, 100) * DAY
    receive_emails(person, at, min(rests_until, person.end), every_days=12, most=rng.randint(2, 6))
    if cycle > _SECOND_CYCLES_MOST or rng.random() > 0.35:
        return
    person.start_over()
    person.interest = min(1.0, person.interest + 0.25)
    if rng.random() < 0.5:
        back = visit(person, rests_until, NURTURE_EMAIL, 0.9)
        ready: int | None = raise_hand(person, back, NURTURE_EMAIL)
    else:
        ready = research(person, rests_until)
    if ready is not None and ready < person.end:
        sell(person, ready, cycle + 1)


def _convert(person: Person, rep: Rep, at: int, keen: float) -> None:
    """Make an opportunity at once: the CRM skips the stages between."""
    deal = f"opp-{person.diary.name}"
    person.diary.crm(at, "lead_converted", actor=rep.name, owner=rep.name, opportunity_id=deal)
    if keen > 0.35:
        _negotiate(person, rep, at + HOUR, keen, deal)


def _work(person: Person, rep: Rep, at: int, keen: float, cycle: int) -> None:
    rng, diary = person.diary.rng, person.diary
    at = _follow_up(person, rep, at_work(rng, at + rng.randint(4, 60) * HOUR), rng.randint(1, 4))
    if rng.random() < 0.5:
        diary.touch(at, "meeting_booked", DIRECT)
        at = at_work(rng, at + rng.randint(2, 7) * DAY)
        missed = rng.random() < 0.2
        diary.touch(at, "meeting_no_show" if missed else "meeting_held", DIRECT)
        keen *= 0.6 if missed else 1.4
    at += rng.randint(10, 200) * MINUTE
    chance = rng.random()
    if chance < keen * 0.55 * rep.closing:
        diary.crm(at, "lead_qualified", actor=rep.name, owner=rep.name)
        if rng.random() < 0.75:
            deal = f"opp-{diary.name}"
            _negotiate(person, rep, at_work(rng, at + rng.randint(1, 96) * HOUR), keen, deal)
    elif chance < 0.85:
        _turn_down(person, rep, at, cycle)


def _negotiate(person: Person, rep: Rep, at: int, keen: float, deal: str) -> None:
    rng, diary, profile = person.diary.rng, person.diary, person.profile
    seats = 3 + int(min(profile.employees, 4000) ** 0.6)
    amount = Decimal(round(seats * 140 * _LIST_PRICE[profile.currency] * rng.uniform(0.7, 1.6)))
    terms = {
        "actor": rep.name, "owner": rep.name, "opportunity_id": deal, "currency": profile.currency,
    }  # fmt: skip
    diary.crm(at, "opportunity_created", amount=amount.quantize(Decimal("0.01")), **terms)
    for stage in _DEAL_STAGES[: rng.randint(1, 3)]:
        at = at_work(rng, at + rng.randint(2, 12) * DAY)
        diary.crm(at, "opportunity_stage_changed", stage=stage, **terms)
    at = at_work(rng, at + rng.randint(1, 15) * DAY)
    chance = rng.random()
    final = (amount * Decimal(rng.randint(80, 100)) / 100).quantize(Decimal("0.01"))
    won = (0.12 + 0.26 * keen) * rep.closing
    if chance < won:
        diary.crm(at, "opportunity_won", amount=final, **terms)
    elif chance < 0.88:
        diary.crm(at, "opportunity_lost", reason=weighted(rng, _LOST) or None, **terms)
        if rng.random() < 0.08:
            at = at_work(rng, at + rng.randint(10, 40) * DAY)
            diary.crm(at, "opportunity_reopened", **terms)
            again = at_work(rng, at + rng.randint(3, 20) * DAY)
            kind = "opportunity_won" if rng.random() < 0.5 else "opportunity_lost"
            diary.crm(again, kind, amount=final, **terms)
