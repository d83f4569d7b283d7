"""Events that wait on disk come back as they were."""

from __future__ import annotations

from decimal import Decimal

from small_models import happened

from leadstream.infra.cli._spool import EventSpool


def test_events_come_back_in_order_and_as_often_as_asked() -> None:
    events = [
        happened(0, "page_viewed", properties={"a": "é" * 1000}),
        happened(1, "opportunity_won", amount=Decimal("12.30"), currency="EUR"),
        happened(2, "page_viewed", lead_id="other"),
    ]
    with EventSpool() as spool:
        assert list(spool) == []
        spool.add(events[:1])
        spool.add(events[1:])
        assert list(spool) == events
        assert list(spool) == events
