"""The report as a whole, before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leadstream.infra.report.action import Action
from leadstream.infra.report.actions import actions
from leadstream.infra.report.blocks import Section
from leadstream.infra.report.changes import Change, changes, summary
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.sections import sections


@dataclass(frozen=True, slots=True)
class Report:
    """What the meeting reads, in its order."""

    facts: Facts
    summary: str
    changes: Sequence[Change]
    actions: Sequence[Action]
    sections: Sequence[Section]


def report_of(facts: Facts) -> Report:
    """Return what the facts say."""
    found = changes(facts)
    return Report(facts, summary(found), found, actions(facts, found), sections(facts))
