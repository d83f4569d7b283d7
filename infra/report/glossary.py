"""The terms of the report, for whoever is new to the meeting."""

from __future__ import annotations

from typing import Final

TERMS: Final = (
    ("MQL", "Marketing qualified lead: the model hands it over to sales, because it raised its "
     "hand or did enough."),
    ("SAL", "Sales accepted lead: sales said yes to the handoff."),
    ("SQL", "Sales qualified lead: sales talked to it and wants to sell."),
    ("Cycle", "One round from MQL on. A lead that is recycled and qualifies again begins another, "
     "and counts once in each."),
    ("Week", "Seven days that end with the data, so that all weeks are whole."),
    ("Decided", "MQLs and SALs that became SQLs, or were turned down."),
    ("Answered", "MQLs that sales accepted or turned down. Procedural rejections (a duplicate, a "
     "wrong territory) say nothing about quality and do not count."),
    ("Deadline", "What a policy of the model allows for an answer, in business time."),
    ("Leak", "A handoff left lying, until it is mended: no owner, no answer, no activity, no "
     "reason, no opportunity."),
    ("More than chance", "Less than one time in twenty would two like weeks, or two like groups, "
     "differ so much. Of many groups compared at once, one in twenty comparisons together."),
    ("95% interval", "Holds the true share 95 times in 100. Small samples have wide ones."),
    ("Healthy band", "MQL to SQL of 10% to 30%. Below, marketing passes on too much; above, too "
     "little."),
    ("Hand-raise", "The lead asks for sales itself: a demo, a trial, a call."),
    ("Margin", "Points above the threshold of the model at the instant of the MQL."),
    ("Shadow", "A candidate model that decides beside the active one, without consequences."),
    ("Touchpoint", "Something that a lead did or received: a visit, a download, a webinar."),
    ("Linear, time decay, U-shaped, W-shaped, full path", "Share a conversion among its touches by "
     "rule: evenly, more to the late ones, more to milestones."),
    ("Markov", "What share of conversions would be lost without the channel."),
    ("Shapley", "What the channel adds to every set of the other channels, on average."),
)  # fmt: skip
"""Each with what it means."""
