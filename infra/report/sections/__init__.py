"""The sections of the report, in the order in which the meeting reads them."""

from __future__ import annotations

from leadstream.infra.report.blocks import Section
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.sections import course, credit, feedback, handoffs, health


def sections(facts: Facts) -> list[Section]:
    """Return every section; one without data says so."""
    return [
        course.funnel(facts),
        course.cohorts(facts),
        credit.attribution(facts),
        credit.paths(facts),
        handoffs.speed(facts),
        handoffs.deadlines(facts),
        handoffs.leaks(facts),
        feedback.reasons(facts),
        feedback.reps(facts),
        health.model(facts),
        health.data(facts),
    ]
