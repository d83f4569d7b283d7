"""The one place where topic names live. Each may carry a prefix from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOUCHPOINTS: Final = "touchpoints"
CRM_EVENTS: Final = "crm-events"
LEAD_EVENTS: Final = "lead.events"
LEAD_TRANSITIONS: Final = "lead.transitions"
LEAD_MQL: Final = "lead.mql"
LEAD_SQL: Final = "lead.sql"
LEAD_SLA: Final = "lead.sla"
LEAD_LEAKS: Final = "lead.leaks"
LEAD_STATE: Final = "lead.state"
LEAD_SHADOW: Final = "lead.shadow"
LEAD_ACCOUNTS: Final = "lead.accounts"

IDENTIFY_STORE: Final = "leadstream.identify.store"
LIFECYCLE_STORE: Final = "leadstream.lifecycle.store"

DLQ_SUFFIX: Final = ".dlq"

SOURCE_MARK: Final = "@"
"""Begins our name of a topic that is not ours: `@crm.leads` is `crm.leads` on the broker, under
no prefix. No topic's name can hold it."""
SOURCES_DLQ: Final = "sources" + DLQ_SUFFIX
"""The dead letters of all topics that are not ours."""

INPUTS: Final = (TOUCHPOINTS, CRM_EVENTS)
OUTPUTS: Final = (
    LEAD_EVENTS,
    LEAD_TRANSITIONS,
    LEAD_MQL,
    LEAD_SQL,
    LEAD_SLA,
    LEAD_LEAKS,
    LEAD_STATE,
    LEAD_SHADOW,
    LEAD_ACCOUNTS,
)
TELLING_OF_LEADS: Final = tuple(t for t in OUTPUTS if t not in (LEAD_EVENTS, LEAD_ACCOUNTS))
"""What the lifecycle says; a null value there says that its lead was erased."""
STORES: Final = (IDENTIFY_STORE, LIFECYCLE_STORE)
DEAD_LETTERS: Final = (
    *(topic + DLQ_SUFFIX for topic in (*INPUTS, LEAD_EVENTS)),
    SOURCES_DLQ,
)
SUNK: Final = (
    LEAD_EVENTS,
    LEAD_TRANSITIONS,
    LEAD_SLA,
    LEAD_LEAKS,
    LEAD_STATE,
    LEAD_SHADOW,
    LEAD_ACCOUNTS,
    *DEAD_LETTERS,
)
LATER: Final = frozenset({SOURCES_DLQ, LEAD_ACCOUNTS})
"""Topics that came with a later release: an installation lacks them until `topics apply`."""
ALL: Final = (*INPUTS, *OUTPUTS, *STORES, *DEAD_LETTERS)

SCHEMA_OF: Final = {
    TOUCHPOINTS: "touchpoint",
    CRM_EVENTS: "crm_event",
    LEAD_EVENTS: "lead_event",
    LEAD_TRANSITIONS: "transition",
    LEAD_MQL: "transition",
    LEAD_SQL: "transition",
    LEAD_SLA: "sla_event",
    LEAD_LEAKS: "leak_event",
    LEAD_STATE: "lead_state",
    LEAD_SHADOW: "transition",
    LEAD_ACCOUNTS: "account_state",
}


def dlq_of(topic: str) -> str:
    """Return the dead-letter topic of `topic`."""
    return SOURCES_DLQ if is_source(topic) else topic + DLQ_SUFFIX


def source_topic(full: str) -> str:
    """Return our name of a topic that is not ours."""
    return SOURCE_MARK + full


def is_source(topic: str) -> bool:
    """Say whether a topic is not ours, by our name of it."""
    return topic.startswith(SOURCE_MARK)


def source_store_of(source: str, full: str) -> str:
    """Return the store of what a source reads of a topic that is not ours."""
    return f"leadstream.source.{source}.{full}.store"


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Maps contract names to the names on the broker, and back."""

    prefix: str = ""

    def full(self, topic: str) -> str:
        return topic.removeprefix(SOURCE_MARK) if is_source(topic) else self.prefix + topic

    def bare(self, full: str) -> str:
        return full.removeprefix(self.prefix)
