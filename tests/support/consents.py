"""Logs with words on consent in them, models that ask for it, and who decides by a rule of thumb.

The rule of thumb goes through all events each time and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import lead_logs
from hypothesis import strategies as st
from lead_logs import LEADS, SPAN_DAYS, START_MS, lively_texts, logs

from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.models import parse_model

_STRICT = """
consent:
  scoring: {needs: [profiling]}
  routing: {needs: [sales_contact], opt_in: [DE]}
  denied_by: {chat_started: sales_contact}
  granted_by: {meeting_booked: sales_contact}
"""
_EASY = """
consent:
  scoring: {needs: [profiling]}
  routing: {needs: [sales_contact, marketing_email]}
  scored_before: kept
"""
MODELS: Final = ("none then strict", "strict then easy", "strict then none")
_SECTIONS = {"none": "", "strict": _STRICT, "easy": _EASY}
_TELLS = ("identify", "form_submitted", "demo_requested", "contact_sales_requested",
          "trial_started", "webinar_registered")  # fmt: skip


def consenting(name: str) -> ModelSet:
    """Return two versions of the lively model, each with its section on consent."""
    # A hot lead's attributes are not heard, which the rule of thumb knows nothing of.
    texts = [text.replace("hot: {events: 6", "hot: {events: 6000") for text in lively_texts()[:2]]
    sections = [_SECTIONS[each] for each in name.split(" then ")]
    return ModelSet(
        [
            parse_model(text + section, f"v{n}.yaml")
            for n, (text, section) in enumerate(zip(texts, sections, strict=True))
        ]
    )


_words = st.sampled_from(["granted", "denied", "Opt-out", "yes", "unknown", "as you like"])
_purposes = st.sampled_from(["profiling", "sales_contact", "Sales contact", "all"])
_said = st.one_of(
    st.dictionaries(_purposes, _words, min_size=1, max_size=2),
    st.builds(lambda country: {"country": country}, st.sampled_from(["DE", "de ", "US"])),
)


def sections_of(name: str) -> Callable[[int], str]:
    """Return what tells the section of the version that is active at an instant."""
    models, sections = consenting(name), name.split(" then ")
    return lambda at: sections[models.versions.index(models.at(at))]


@st.composite
def _word(draw: Any, number: int) -> Touchpoint | CrmEvent:
    lead = draw(st.sampled_from(LEADS))
    told = draw(_said)
    at = START_MS + draw(st.integers(0, SPAN_DAYS * 24)) * lead_logs.HOUR_MS
    event_id = f"c{number * 37 % 101:03d}"
    anonymous = lead.startswith("anon:")
    if anonymous or draw(st.booleans()):
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            lead_id=None if anonymous else lead,
            anonymous_id=lead.removeprefix("anon:") if anonymous else None,
            type="identify" if "country" in told else "consent_changed",
            properties=told,
        )
    kind = "lead_updated" if "country" in told else "consent_changed"
    return CrmEvent(event_id=event_id, event_time=at, lead_id=lead, type=kind, attributes=told)


@st.composite
def consent_logs(draw: Any, max_size: int = 30) -> list[Touchpoint | CrmEvent]:
    """Logs as usual, with words on consent and countries in between."""
    count = draw(st.integers(1, 8))
    return [*draw(logs(max_size)), *(draw(_word(number)) for number in range(count))]


def stopped(
    events: Iterable[LeadEvent],
    section_at: Callable[[int], str],
    at: int,
    until_id: str | None,
    use: str,
) -> bool:
    """Say whether a use is stopped right after an event, or at an instant after all events.

    Args:
        section_at: tells the section of the version that is active at an instant.
    """
    section = section_at(at)
    words: dict[str, list[tuple[int, bool, str]]] = {}
    country = ""
    for event in sorted(events, key=lambda e: (e.occurred_at, e.event_id)):
        if (event.occurred_at, event.event_id) > (at, until_id or "\uffff"):
            break
        touch, crm = event.touchpoint, event.crm
        facts = touch.properties if touch else crm.attributes if crm else {}
        kind = touch.type if touch else crm.type if crm else ""
        if crm or kind in _TELLS:
            country = facts.get("country", country)
        said: list[tuple[str, str]] = []
        if kind == "consent_changed":
            # Two spellings of one purpose are two words at one instant, in the order of names.
            told = sorted(facts.items())
            said = [(n.lower().replace(" ", "_"), w) for n, w in told if n != "country"]
        if kind == "email_unsubscribed":
            said = [("marketing_email", "denied")]
        # Which types deny or grant is a matter of the version that heard them.
        heard_by = section_at(event.occurred_at)
        if heard_by == "strict" and kind == "chat_started":
            said = [("sales_contact", "denied")]
        if heard_by == "strict" and kind == "meeting_booked":
            said = [("sales_contact", "granted")]
        for purpose, word in said:
            is_no = word in ("denied", "Opt-out", "as you like")
            meant = "no" if is_no else "yes" if word in ("granted", "yes") else ""
            if purpose in ("profiling", "sales_contact", "marketing_email", "all"):
                words.setdefault(purpose, []).append((event.occurred_at, is_no, meant))
    needs = {
        ("strict", "scoring"): ["profiling"], ("strict", "routing"): ["sales_contact"],
        ("easy", "scoring"): ["profiling"],
        ("easy", "routing"): ["sales_contact", "marketing_email"],
    }.get((section, use), [])  # fmt: skip
    for purpose in needs:
        heard = words.get(purpose, []) + words.get("all", [])
        latest = max((at for at, _, _ in heard), default=0)
        last = [(is_no, meant) for at, is_no, meant in heard if at == latest]
        if any(is_no for is_no, _ in last):
            return True
        asks = section == "strict" and use == "routing" and country.strip().upper() == "DE"
        if asks and (not last or last[-1][1] != "yes"):
            return True
    return False
