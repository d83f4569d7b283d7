"""A library that says the same without pause is heard now and then."""

from __future__ import annotations

import logging

from leadstream.schemas.log_repeats import FewRepeats


def test_a_library_says_the_same_once_in_a_while_and_then_how_often_it_would_have() -> None:
    now = 0.0
    heard = []
    few = FewRepeats(["aiokafka"], interval_s=10, clock=lambda: now)

    def say(name: str, text: str, *args: object) -> None:
        record = logging.LogRecord(name, logging.ERROR, "", 0, text, args, None)
        if few.filter(record):
            heard.append(record.getMessage())

    for second in range(25):
        now = float(second)
        say("aiokafka.conn", "no connection to %s", f"node {second}")
        say("leadstream.streams", "ours")
    say("aiokafka.conn", "something else")
    assert [text for text in heard if text != "ours"] == [
        "no connection to node 0",
        "no connection to node 10 (9 more like this since)",
        "no connection to node 20 (9 more like this since)",
        "something else",
    ]
    assert heard.count("ours") == 25
