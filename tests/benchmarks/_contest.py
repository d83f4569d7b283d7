"""Runs one contender on the log and measures it from outside, the same way for all.

The time begins when a process is ready: it may read the first partition of the log (leadstream,
the limit), or its first record has reached the job (the peers, which so get their first fetch for
nothing). It ends when the last record of the output topics was there: committed where there are
transactions; that is taken to be in the middle between the looks before and after it. What
lies before (start, imports, restoring) and after (checkpoints that follow the last output, for
which no output waits) is in no figure.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _lab import LEADSTREAM, STOP_TIMEOUT_S, Child, Lab, wait_for
from _leadlog import (
    Log,
    WrongAnswerError,
    check_lead_events,
    fill_lead_events,
    read_answer,
)
from _topics import delete, ends_of
from confluent_kafka.admin import AdminClient

from leadstream.infra.topics import apply_topics
from leadstream.schemas import topics
from leadstream.schemas.settings import Settings

FULL, SLOW, KNOWN, SECOND = "full", "slow", "known", "second"
"""Logs: the whole one, the slow peers', the one without merges, and what the second stage reads."""
PEERS = Path(__file__).with_name("peers")
Costs = tuple[float, float, float]
"""The time, the CPU time of the contender, and that of the broker, seconds."""

SAMPLE_INTERVAL_S = 0.04
READY_INTERVAL_S = 0.005
START_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 900.0
WRONG_AFTER_S = 30.0
"""An answer is wrong if it is, and nothing follows for so long."""
SILENCE_TIMEOUT_S = 90.0
"""A run in which nothing was written for so long will not end by itself."""


@dataclass(frozen=True, slots=True)
class Contender:
    """What is run, and on which log.

    Args:
        program: the command; without one it is leadstream's worker.
        stages: which of the two steps it does.
        log: the name of the log that it reads.
        ready: what it writes when it is ready.
        quiet_s: for so long nothing may follow the last output; longer than its checkpoints.
        needs: the module without which it cannot run.
        joins: one person is made of ids, as leadstream is shipped; else each id is a lead.
    """

    name: str
    about: str
    stages: tuple[str, ...] = ("identify", "lifecycle")
    program: tuple[str, ...] = ()
    log: str = FULL
    ready: str = r"^ready$"
    quiet_s: float = 3.0
    needs: str = ""
    joins: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took."""

    events: int
    took_s: float
    cpu_s: float
    broker_cpu_s: float
    peak_mb: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.took_s

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_s / self.events * 1e6

    @property
    def broker_cpu_us_per_event(self) -> float:
        return self.broker_cpu_s / self.events * 1e6


BOTH = ("identify", "lifecycle")
ALONE = "-alone"
"""Ends the name of a contender that does the job with each id as a lead of its own."""


def _worker(name: str, about: str, *stages: str, **options: Any) -> Contender:
    ready = f"stage {stages[0]} partition [0-9]+: processing from"
    return Contender(name, about, stages, ready=ready, **options)


def _limit(name: str, about: str, *stages: str) -> Contender:
    script = str(PEERS / "bare_loop.py")
    return Contender(name, about, stages, (sys.executable, script, ",".join(stages)))


def _peer(name: str, about: str, file: str, **options: Any) -> Contender:
    program = (sys.executable, str(PEERS / file))
    return Contender(name, about, program=program, log=SLOW, needs=name, **options)


def _alone(contender: Contender) -> Contender:
    return replace(
        contender,
        name=contender.name + ALONE,
        about=f"{contender.about}; ids not joined",
        joins=False,
    )


LEADSTREAM_ITSELF = _worker("leadstream", "as shipped, both stages", *BOTH)
LIMIT = _limit("limit", "both hops in one bare loop", *BOTH)
PEERS_OF_OURS = (
    # Its checkpoints come every 5 s, and all of its writing stops meanwhile.
    _peer("quixstreams", "dataframes with the state store", "quix_dataframes.py", quiet_s=7.0),
    _peer("bytewax", "stateful_batch with recovery on", "bytewax_flow.py", quiet_s=5.0),
    _peer("faust", "agents with a table", "faust_agents.py", quiet_s=5.0),
)
CONTENDERS = (
    LEADSTREAM_ITSELF,
    _worker(
        "leadstream-known",
        "as shipped, the same events without merges among them",
        *BOTH,
        log=KNOWN,
    ),
    LIMIT,
    *PEERS_OF_OURS,
    _worker("leadstream-identify", "the first stage alone", "identify"),
    _limit("limit-identify", "its bare loop", "identify"),
    _worker("leadstream-lifecycle", "the second stage alone", "lifecycle"),
    _limit("limit-lifecycle", "its bare loop", "lifecycle"),
    *map(_alone, (LEADSTREAM_ITSELF, LIMIT, *PEERS_OF_OURS)),
)


class Contest:
    """One broker, the logs on it, and the runs.

    Args:
        logs: by their names.
        settings_of: the settings under whose topics each log lies.
    """

    def __init__(
        self, lab: Lab, logs: Mapping[str, Log], settings_of: Mapping[str, Settings]
    ) -> None:
        self._lab = lab
        self._logs = logs
        self._settings_of = settings_of
        self._admin = AdminClient(
            # Silent: at the end the broker stops before this client.
            {"bootstrap.servers": lab.kafka.bootstrap, "log_level": 0}
        )
        self._runs = 0

    def run(self, contender: Contender) -> Run:
        """Run a contender on empty output topics and check its answer.

        Raises:
            WrongAnswerError: it is not the oracle's.
        """
        self._runs += 1
        log = self._logs[contender.log]
        is_second_alone = contender.stages == ("lifecycle",)
        settings = self._settings_of[SECOND if is_second_alone else contender.log].model_copy(
            update={
                "app_id": f"run{self._runs}-{contender.name}",
                "identity_joins": contender.joins,
            }
        )
        self._renew(settings)
        if is_second_alone:
            fill_lead_events(settings, log, claims=contender.joins)
        arguments = ("--stages", ",".join(contender.stages), "--web-port", "0")
        child = (
            self._lab.start(settings, program=contender.program)
            if contender.program
            else self._lab.start(settings, *arguments, command="worker", program=(LEADSTREAM,))
        )
        try:
            run = self._measured(contender, settings, log, child)
        finally:
            # Every run begins on new topics with a state of its own, so nothing needs an orderly
            # end, for which some of the peers take long.
            child.stop(signal.SIGKILL)
        shutil.rmtree(settings.data_dir / settings.app_id, ignore_errors=True)
        return run

    def _measured(self, contender: Contender, settings: Settings, log: Log, child: Child) -> Run:
        is_ready = re.compile(contender.ready, re.MULTILINE)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_ready.search(child.log()):
            child.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"{contender.name} is not ready:\n{child.log()[-3000:]}")
            time.sleep(READY_INTERVAL_S)
        began = self._costs(child)
        written = {
            "identify": (topics.LEAD_EVENTS,),
            "lifecycle": (*topics.TELLING_OF_LEADS,),
        }
        watched = [topic for stage in contender.stages for topic in written[stage]]
        is_first = "identify" in contender.stages
        wanted = log.lead_event_count if is_first else 0
        looked = ended = began
        ends = ends_of(self._admin, settings, watched)
        judged: dict[str, int] = {}
        fault: WrongAnswerError | None = None
        while True:
            time.sleep(SAMPLE_INTERVAL_S)
            now, found = self._costs(child), ends_of(self._admin, settings, watched)
            if found != ends:
                ended, ends = _between(looked, now), found
            looked = now
            quiet_s = now[0] - ended[0]
            is_complete = ends.get(topics.LEAD_EVENTS, 0) >= wanted and any(ends.values())
            if is_complete and quiet_s > contender.quiet_s and ends != judged:
                judged = ends
                # A busy machine can stall a contender for longer than that, so that a wrong
                # answer may be half of one.
                try:
                    self._check(contender, settings, log)
                    break
                except WrongAnswerError as error:
                    fault = error
            if fault is not None and ends == judged and quiet_s > WRONG_AFTER_S:
                raise fault
            child.check()
            if quiet_s > SILENCE_TIMEOUT_S or now[0] - began[0] > RUN_TIMEOUT_S:
                raise SystemExit(
                    f"{contender.name} stands still at {ends}, {wanted} lead events were to come:\n"
                    f"{child.log()[-3000:]}"
                )
        took_s, cpu_s, broker_cpu_s = (
            after - before for after, before in zip(ended, began, strict=True)
        )
        events = len(log.events) if is_first else log.lead_event_count
        return Run(events, took_s, cpu_s, broker_cpu_s, child.memory_mb()[1])

    def _costs(self, child: Child) -> Costs:
        """Return what it has come to so far."""
        broker = self._lab.kafka.pid
        if broker is None:
            raise SystemExit("the broker has ended")
        return time.monotonic(), _cpu_s(child.process.pid), _cpu_s(broker)

    def _renew(self, settings: Settings) -> None:
        """Give the next run empty topics, and delete those that peers made for themselves."""
        there = self._topics()
        own = [name for name in there if re.search(r"(^|_)run[0-9]+-", name)]
        old = [settings.topics.full(name) for name in topics.ALL if name not in topics.INPUTS]
        doomed = [*own, *(name for name in old if name in there)]
        if doomed:
            delete(self._admin, doomed)
            wait_for(lambda: not self._topics() & set(doomed), STOP_TIMEOUT_S)
        apply_topics(settings)

    def _topics(self) -> set[str]:
        return set(self._admin.list_topics(timeout=STOP_TIMEOUT_S).topics)

    def _check(self, contender: Contender, settings: Settings, log: Log) -> None:
        if "lifecycle" in contender.stages:
            answer = log.joined if contender.joins else log.alone
            answer.check(read_answer(settings), contender.name)
        else:
            check_lead_events(settings, log, contender.name, claims=contender.joins)


def fold_alone(log: Log, events: int, settings: Settings) -> Run:
    """Run the fold without Kafka on the same events, in a process of its own.

    Raises:
        WrongAnswerError: its answer is not the oracle's.
    """
    given = [str(PEERS / "fold_alone.py"), str(events), str(settings.topic_partitions or 1)]
    done = subprocess.run(
        [sys.executable, *given, str(settings.batch_max_records)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"fold_alone.py ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout)
    if found["digest"] != log.alone.digest():
        raise WrongAnswerError("the fold alone gives another answer than the oracle")
    return Run(found["events"], found["took_s"], found["cpu_s"], 0.0, 0.0)


def _between(before: Costs, after: Costs) -> Costs:
    time_s, cpu_s, broker_cpu_s = (sum(pair) / 2 for pair in zip(before, after, strict=True))
    return time_s, cpu_s, broker_cpu_s


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process with all of its threads, seconds."""
    # Linux: the id of the CPU clock of another process, as clock_getcpuclockid makes it.
    return time.clock_gettime((~pid << 3) | 2)
