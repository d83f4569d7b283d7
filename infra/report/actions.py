"""What to do about it: what every rule finds in the facts, the most pressing first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from leadstream.infra.report import market_actions, model_actions, sales_actions
from leadstream.infra.report.action import Action
from leadstream.infra.report.changes import Change
from leadstream.infra.report.facts import Facts

RULES: Final[tuple[Callable[[Facts], Iterator[Action]], ...]] = (
    sales_actions.leaks,
    sales_actions.due_soon,
    sales_actions.late_owners,
    sales_actions.poor_standing,
    market_actions.poor_channels,
    market_actions.unpaid,
    model_actions.unmapped,
    model_actions.band,
    model_actions.misleading_rules,
    model_actions.dead_letters,
    model_actions.unknown_types,
    model_actions.silence,
)


def actions(facts: Facts, changed: Sequence[Change]) -> list[Action]:
    """Return what the rules find; the most pressing, then news, the dearest, the most."""
    found = [action for rule in RULES for action in rule(facts)]
    found += market_actions.of_changes(facts, changed)
    return sorted(found, key=lambda each: (each.when, not each.is_news, -each.stake, -each.count))
