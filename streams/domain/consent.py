"""What a person has allowed, as events tell it, and what must stop for want of it.

The latest word on a purpose counts, by when it was said: a word that arrives late is no newer for
it. What is heard depends on no version of the model, so that a version that asks for consent finds
what was said before it; what stops is a matter of the version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final

from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.criteria import unknown
from leadstream.streams.domain.model_consent import ALIASES, EVERYWHERE, NOWHERE_TOLD, ConsentRules
from leadstream.streams.domain.reasons import slug
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import Consent

CONSENT_CHANGED: Final = "consent_changed"
EMAIL_UNSUBSCRIBED: Final = "email_unsubscribed"
TELLING: Final = frozenset({CONSENT_CHANGED, EMAIL_UNSUBSCRIBED})
"""Event types whose word is heard under every model."""
MARKETING_EMAIL: Final = "marketing_email"
EVERY_PURPOSE: Final = "all"
PURPOSES: Final = ("profiling", "sales_contact", MARKETING_EMAIL, EVERY_PURPOSE)
"""Purposes with a meaning of their own (contract); a model may name others."""
GRANTED: Final = "granted"
DENIED: Final = "denied"
UNKNOWN: Final = "unknown"
MAX_PURPOSES: Final = 32
SCORING: Final = "scoring"
ROUTING: Final = "routing"
NOTHING: Final[list[str]] = []

_WORDS: Final = {
    word: state
    for state, words in (
        (
            GRANTED,
            "granted grant given yes true 1 opt_in opted_in optin allowed accepted subscribed",
        ),
        (
            DENIED,
            "denied deny no false 0 opt_out opted_out optout refused rejected withdrawn revoked "
            "objected unsubscribed",
        ),
        (UNKNOWN, "unknown not_set unset pending"),
    )
    for word in words.split()
}


@dataclass(frozen=True)
class CompiledUse:
    """What one use of a lead's data needs; `opt_in` are countries, groups taken apart."""

    name: str
    needs: tuple[str, ...]
    opt_in: frozenset[str]


@dataclass(frozen=True)
class CompiledConsent:
    """A model's section on consent, ready for the fold.

    Attributes:
        telling: all event types whose word is heard.
        asks_first: silence stops in some country.
        drops: engagement that was counted goes with the consent.
    """

    uses: tuple[CompiledUse, ...]
    telling: frozenset[str]
    asks_first: bool
    drops: bool
    denied_by: dict[str, tuple[str, ...]]
    granted_by: dict[str, tuple[str, ...]]
    country: str
    countries: dict[str, str]


def compile_consent(rules: ConsentRules | None) -> CompiledConsent | None:
    """Return the section ready for use; None where the model has none."""
    if rules is None:
        return None
    uses = tuple(
        CompiledUse(name, tuple(needed.needs), needed.places() if needed.needs else frozenset())
        for name, needed in ((SCORING, rules.scoring), (ROUTING, rules.routing))
    )
    return CompiledConsent(
        uses=uses,
        telling=TELLING.union(rules.denied_by, rules.granted_by),
        asks_first=any(use.opt_in for use in uses),
        drops=rules.scored_before == "dropped",
        denied_by={name: tuple(purposes) for name, purposes in rules.denied_by.items()},
        granted_by={name: tuple(purposes) for name, purposes in rules.granted_by.items()},
        country=rules.country,
        countries={slug(name): code.upper() for name, code in rules.country_wordings.items()},
    )


def consent_faults(rules: ConsentRules | None, event_types: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the section, each with its place."""
    if rules is None:
        return
    by_place = {"scoring.needs": rules.scoring.needs, "routing.needs": rules.routing.needs}
    for field, by_type in (("denied_by", rules.denied_by), ("granted_by", rules.granted_by)):
        for event_type, purposes in by_type.items():
            by_place[f"{field}.{event_type}"] = purposes
            if event_type not in event_types:
                yield (
                    f"consent.{field}.{event_type}: "
                    f"{unknown('event type', event_type, event_types)}"
                )
    for place, purposes in by_place.items():
        for purpose in purposes:
            near = get_close_matches(purpose, PURPOSES, n=1, cutoff=0.85)
            if near and purpose not in PURPOSES:
                yield f'consent.{place}: no purpose "{purpose}"; did you mean "{near[0]}"?'
    for name, needed in (("scoring", rules.scoring), ("routing", rules.routing)):
        if needed.opt_in and not needed.needs:
            yield f"consent.{name}.opt_in: needs the purposes that must be granted: needs: [..]"


def hear(
    state: FoldState,
    consent: CompiledConsent | None,
    event: Touchpoint | CrmEvent,
    said_at: EpochMs,
) -> None:
    """Note what an event says of consent.

    Args:
        said_at: when it was said, wherever the event counts.
    """
    if event.type == CONSENT_CHANGED:
        told = event.properties if isinstance(event, Touchpoint) else event.attributes
        for name, word in sorted(told.items()):
            purpose, meant = slug(name), _WORDS.get(slug(word))
            # Of a purpose that is known, what is not clearly a yes is a no.
            if meant is None and purpose in PURPOSES and word.strip():
                meant = DENIED
            if meant is not None:
                _note(state, purpose, meant, said_at)
    elif event.type == EMAIL_UNSUBSCRIBED:
        _note(state, MARKETING_EMAIL, DENIED, said_at)
    if consent is not None:
        for purpose in consent.granted_by.get(event.type, ()):
            _note(state, purpose, GRANTED, said_at)
        for purpose in consent.denied_by.get(event.type, ()):
            _note(state, purpose, DENIED, said_at)


def _note(state: FoldState, purpose: str, meant: str, said_at: EpochMs) -> None:
    known = state.consents.get(purpose)
    if known is None:
        if len(state.consents) >= MAX_PURPOSES:
            return
    elif said_at < known.at or (said_at == known.at and known.state == DENIED):
        return
    # Shared with what was said: never changed in place.
    state.consents = {**state.consents, purpose: Consent(meant, said_at)}


def stops_of(state: FoldState, consent: CompiledConsent | None) -> list[str]:
    """Return which uses of the lead's data the person's word, or its absence, stops."""
    if consent is None or not (state.consents or consent.asks_first):
        return NOTHING
    country = _country_of(state, consent) if consent.asks_first else ""
    return [use.name for use in consent.uses if _lacking(state, use, country) is not None]


def reason_of(state: FoldState, consent: CompiledConsent, name: str) -> str:
    """Return why a use is stopped, in words: which purpose, and since when it is denied."""
    country = _country_of(state, consent)
    use = next(use for use in consent.uses if use.name == name)
    purpose = _lacking(state, use, country)
    if purpose is None:
        return ""
    word = _word_on(state, purpose)
    if word is None or word.state != DENIED:
        return f"{purpose} not granted"
    return f"{purpose} denied {datetime.fromtimestamp(word.at / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _lacking(state: FoldState, use: CompiledUse, country: str) -> str | None:
    """Return the first needed purpose that is not allowed; None where all are."""
    asks_first = country in use.opt_in or EVERYWHERE in use.opt_in
    for purpose in use.needs:
        word = _word_on(state, purpose)
        if word is None or word.state == UNKNOWN:
            if asks_first:
                return purpose
        elif word.state == DENIED:
            return purpose
    return None


def _word_on(state: FoldState, purpose: str) -> Consent | None:
    """Return the latest word on a purpose, or on all of them; of two at once a denial."""
    own, of_all = state.consents.get(purpose), state.consents.get(EVERY_PURPOSE)
    if own is None or of_all is None:
        return own or of_all
    if own.at == of_all.at:
        return own if own.state == DENIED else of_all
    return own if own.at > of_all.at else of_all


def _country_of(state: FoldState, consent: CompiledConsent) -> str:
    told = state.attributes.get(consent.country, "").strip()
    code = consent.countries.get(slug(told), told.upper())
    code = ALIASES.get(code, code)
    return code if len(code) == 2 else NOWHERE_TOLD
