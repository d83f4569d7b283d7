"""The engine on a real broker, as real processes, read back by a client that is not ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaProducer

from leadstream.schemas.exit_codes import ExitCode
from leadstream.streams.engine.positions import META_KEY, UNOWNED, decode_meta

WORKER = Path(__file__).with_name("engine_worker.py")
PARTITIONS = 4
TOPICS = ("left", "right", "counted", "count.store", "left.dlq", "right.dlq")


class Lab:
    """Topics of one test, the workers on them, and what they wrote."""

    def __init__(self, bootstrap: str, log_dir: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.workers: list[subprocess.Popen[bytes]] = []
        self._log_dir = log_dir
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create_topics(self, names: tuple[str, ...] = TOPICS) -> None:
        compact = {"cleanup.policy": "compact"}
        new = [
            NewTopic(self.prefix + name, PARTITIONS, 1, config=compact if "store" in name else {})
            for name in names
        ]
        for future in self._admin.create_topics(new).values():
            future.result()

    def produce(
        self,
        records: list[tuple[str, bytes, bytes]],
        headers: list[tuple[str, bytes]] | None = None,
        transactional_id: str | None = None,
    ) -> None:
        """Send (topic, key, value); in one transaction where an id is given."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        }
        if transactional_id:
            config["transactional.id"] = transactional_id
        producer = Producer(config)
        if transactional_id:
            producer.init_transactions(20)
            producer.begin_transaction()
        for topic, key, value in records:
            producer.produce(self.prefix + topic, value, key, headers=headers or [])
        producer.flush(20)
        if transactional_id:
            producer.commit_transaction(20)

    def read(self, topic: str) -> list[Message]:
        """Return every committed record of a topic."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.prefix}reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        full = self.prefix + topic
        consumer.assign([TopicPartition(full, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        found, ended = [], set()
        while len(ended) < PARTITIONS:
            message = consumer.poll(10)
            assert message is not None, f"no end of {full} in 10 s"
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
        consumer.close()
        return found

    def counted(self) -> list[tuple[str, int]]:
        said = [json.loads(message.value()) for message in self.read("counted")]
        return [(s["key"], s["count"]) for s in said if "count" in s]

    def start_worker(self, **settings: Any) -> subprocess.Popen[bytes]:
        given = {
            "kafka_bootstrap": self.bootstrap,
            "topic_prefix": self.prefix,
            "web_port": 0,
            **settings,
        }
        with self.log_of(len(self.workers)).open("wb") as log:
            worker = subprocess.Popen([sys.executable, WORKER, json.dumps(given)], stderr=log)
        self.workers.append(worker)
        return worker

    def log_of(self, index: int) -> Path:
        return self._log_dir / f"worker-{index}.log"

    def owned(self, index: int) -> int:
        """Return how many partitions a worker said it began to process."""
        return self.log_of(index).read_text().count("processing from")

    def owners(self) -> dict[int, str]:
        """Return whom the store of each partition names as its owner."""
        metas = [m for m in self.read("count.store") if m.key() == META_KEY]
        return {m.partition(): decode_meta(m.value(), "test").owner for m in metas}

    def lag(self) -> int:
        topics = [TopicPartition(self.prefix + t, p) for t in TOPICS[:2] for p in range(PARTITIONS)]
        group = ConsumerGroupTopicPartitions(f"{self.prefix}leadstream-count", topics)
        result = self._admin.list_consumer_group_offsets([group])
        committed = next(iter(result.values())).result(10).topic_partitions
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "lag"})
        ends = [consumer.get_watermark_offsets(tp, timeout=10)[1] for tp in topics]
        consumer.close()
        at = {(tp.topic, tp.partition): max(tp.offset, 0) for tp in committed}
        return sum(end - at[tp.topic, tp.partition] for tp, end in zip(topics, ends, strict=True))

    def stop_all(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


def wait_for(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (outcome := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)
    return outcome


@pytest.fixture
def lab(kafka: Any, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(kafka.bootstrap, tmp_path)
    lab.create_topics()
    yield lab
    lab.stop_all()


def once_each(expected: Counter[str]) -> set[tuple[str, int]]:
    """Return what an exactly-once count must have said: 1 to n for every key."""
    return {(key, n) for key, total in expected.items() for n in range(1, total + 1)}


def assert_exactly_once(counted: list[tuple[str, int]], expected: Counter[str]) -> None:
    assert len(counted) == len(set(counted)), "something was counted twice"
    assert set(counted) == once_each(expected)


def touch(total: int, keys: int, start: int = 0) -> tuple[list[tuple[str, bytes, bytes]], Counter]:
    records = [
        (("left", "right")[i % 2], b"k%d" % (i % keys), b"v%d" % i)
        for i in range(start, start + total)
    ]
    return records, Counter(key.decode() for _, key, _ in records)


def exit_code_of(worker: subprocess.Popen[bytes], timeout_s: float = 30.0) -> int:
    return worker.wait(timeout_s)


def test_both_inputs_are_counted_exactly_once_across_a_clean_restart(lab: Lab) -> None:
    records, expected = touch(3000, keys=37)
    first = lab.start_worker(batch_max_records=100)
    lab.produce(records[:2000])
    wait_for(lambda: len(lab.counted()) == 2000)
    first.send_signal(signal.SIGTERM)
    assert exit_code_of(first) == 0
    lab.start_worker()
    lab.produce(records[2000:], transactional_id=f"{lab.prefix}upstream")
    wait_for(lambda: len(lab.counted()) >= 3000)
    assert_exactly_once(lab.counted(), expected)
    # The inputs now end in the control markers of their producer's transaction.
    wait_for(lambda: lab.lag() == 0, 15)


def test_a_worker_killed_in_the_middle_loses_and_repeats_nothing(lab: Lab) -> None:
    records, expected = touch(20_000, keys=101)
    lab.start_worker(batch_max_records=20)
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    victim = lab.start_worker(batch_max_records=20)
    wait_for(lambda: lab.owned(1) == PARTITIONS // 2)
    lab.produce(records)
    wait_for(lambda: len(lab.counted()) > 2000)
    victim.kill()
    assert exit_code_of(victim) == -signal.SIGKILL
    lab.start_worker(batch_max_records=200)
    wait_for(lambda: len(lab.counted()) >= 20_000, 60)
    assert_exactly_once(lab.counted(), expected)
    assert lab.owned(2) > 0, "the restarted worker got no partition"


def test_poison_goes_to_the_dead_letters_with_its_origin_and_stops_nothing(lab: Lab) -> None:
    lab.start_worker()
    lab.produce([("left", b"a", b"1"), ("left", b"a", b"poison")], [("source", b"form")])
    lab.produce([("left", b"a", b"2")])
    wait_for(lambda: len(lab.counted()) == 2)
    (letter,) = lab.read("left.dlq")
    partition, headers = lab.read("left")[0].partition(), dict(letter.headers())
    assert (letter.key(), letter.value()) == (b"left-%d-1" % partition, b"poison")
    assert headers["leadstream-key"] == b"a"
    assert headers["source"] == b"form"
    assert headers["leadstream-topic"] == b"left"
    assert headers["leadstream-partition"] == b"%d" % partition
    assert headers["leadstream-offset"] == b"1"
    assert headers["leadstream-error-kind"] == b"poison"
    assert headers["leadstream-error"] == b"not to be swallowed"
    assert headers["leadstream-failed-at"].endswith(b"Z")


class NotUtf8(str):
    """A header name whose bytes are no text."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def test_header_names_that_are_not_utf_8_stop_nothing(lab: Lab) -> None:
    producer = KafkaProducer(bootstrap_servers=lab.bootstrap, compression_type="gzip")
    topic = f"{lab.prefix}left"
    producer.send(topic, b"1", b"a", headers=[("source", b"form"), (NotUtf8("x"), b"y")])
    producer.send(topic, b"poison", b"a", headers=[(NotUtf8("x"), b"y")])
    producer.send(topic, b"2", b"a")
    producer.close()
    lab.start_worker()
    wait_for(lambda: sorted(lab.counted()) == [("a", 1), ("a", 2)])
    (letter,) = lab.read("left.dlq")
    assert (r"\xff\xfe", b"y") in letter.headers()


def test_a_timer_fires_without_input_and_survives_a_kill(lab: Lab) -> None:
    def alarms() -> list[str]:
        said = [json.loads(message.value()) for message in lab.read("counted")]
        return [s["key"] for s in said if "alarm" in s]

    first = lab.start_worker(static_membership=True, instance_id="one")
    lab.produce([("left", b"a", b"alarm 300")])
    wait_for(lambda: alarms() == ["a"])
    lab.produce([("right", b"b", b"alarm 3000")])
    wait_for(lambda: ("b", 1) in lab.counted())
    first.kill()
    exit_code_of(first)
    lab.start_worker(static_membership=True, instance_id="one")
    wait_for(lambda: sorted(alarms()) == ["a", "b"])


def test_a_record_at_which_the_stage_crashes_is_moved_aside_and_the_rest_is_counted_once(
    lab: Lab,
) -> None:
    records, expected = touch(200, keys=7)
    lab.start_worker()
    lab.produce([*records[:100], ("right", b"k1", b"crash"), *records[100:]])
    wait_for(lambda: len(lab.counted()) >= 200)
    assert_exactly_once(lab.counted(), expected)
    (letter,) = lab.read("right.dlq")
    assert letter.value() == b"crash"
    assert dict(letter.headers())["leadstream-error-kind"] == b"crash"
    log = lab.log_of(0).read_text()
    assert "ZeroDivisionError: a bug in the stage; reading the store anew" in log
    assert "Traceback" in log


def usurp(lab: Lab) -> None:
    """Fence the owner of each partition, as a worker that takes it over would."""
    (owner,) = set(lab.owners().values())
    usurper = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": owner})
    usurper.init_transactions(20)


def test_a_worker_that_is_fenced_reads_anew_and_counts_once_and_ends_when_it_happens_again(
    lab: Lab,
) -> None:
    records, expected = touch(40, keys=40)
    worker = lab.start_worker()
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    usurp(lab)
    lab.produce(records)
    wait_for(lambda: len(lab.counted()) >= 40)
    assert_exactly_once(lab.counted(), expected)
    wait_for(lambda: lab.owned(0) == 2 * PARTITIONS)
    usurp(lab)
    lab.produce(records)
    assert exit_code_of(worker) == ExitCode.TEMPORARY
    assert "another worker has taken this partition over" in lab.log_of(0).read_text()
    assert_exactly_once(lab.counted(), expected)


def test_all_partitions_of_a_worker_share_an_owner_and_have_none_after_a_clean_stop(
    lab: Lab,
) -> None:
    worker = lab.start_worker()
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    assert lab.owners().keys() == set(range(PARTITIONS))
    assert len(set(lab.owners().values()) - {UNOWNED}) == 1
    worker.send_signal(signal.SIGTERM)
    assert exit_code_of(worker) == 0
    assert set(lab.owners().values()) == {UNOWNED}
    lab.start_worker()
    wait_for(lambda: lab.owned(1) == PARTITIONS)
    assert "previous owner fenced" not in lab.log_of(1).read_text()


def test_a_worker_that_was_killed_is_fenced_by_who_takes_its_partitions(lab: Lab) -> None:
    killed = lab.start_worker()
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    (owner,) = set(lab.owners().values())
    killed.kill()
    lab.start_worker()
    wait_for(lambda: lab.owned(1) == PARTITIONS)
    assert lab.log_of(1).read_text().count("previous owner fenced") == PARTITIONS
    assert not set(lab.owners().values()) & {owner, UNOWNED}


def test_beside_the_release_before_each_partition_commits_by_the_id_that_it_fences(
    lab: Lab,
) -> None:
    records, expected = touch(40, keys=40)
    lab.start_worker(store_format=1)
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    ids = {n: f"{lab.prefix}leadstream-count-p{n}" for n in range(PARTITIONS)}
    assert lab.owners() == ids
    for name in ids.values():
        usurper = Producer({"bootstrap.servers": lab.bootstrap, "transactional.id": name})
        usurper.init_transactions(20)
    lab.produce(records)
    wait_for(lambda: lab.owned(0) == 2 * PARTITIONS)
    wait_for(lambda: len(lab.counted()) >= 40)
    assert_exactly_once(lab.counted(), expected)


def test_partitions_that_stay_are_not_read_anew_when_a_worker_comes_and_goes(lab: Lab) -> None:
    records, expected = touch(3000, keys=37)
    lab.start_worker()
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    guest = lab.start_worker()
    lab.produce(records[:1500])
    wait_for(lambda: lab.owned(1) == PARTITIONS // 2)
    lab.produce(records[1500:])
    guest.send_signal(signal.SIGTERM)
    assert exit_code_of(guest) == 0
    wait_for(lambda: len(lab.counted()) >= 3000)
    assert_exactly_once(lab.counted(), expected)
    assert lab.owned(0) == PARTITIONS + PARTITIONS // 2


def test_a_store_is_not_taken_for_read_while_a_transaction_is_open_in_it(lab: Lab) -> None:
    writer = Producer(
        {"bootstrap.servers": lab.bootstrap, "transactional.id": f"{lab.prefix}of-another"}
    )
    writer.init_transactions(20)
    writer.begin_transaction()
    writer.produce(f"{lab.prefix}count.store", b"[41, null]", b"k0", partition=0)
    writer.flush(20)
    lab.start_worker()
    wait_for(lambda: lab.owned(0) == PARTITIONS - 1)
    assert "count partition 0: processing from" not in lab.log_of(0).read_text()
    writer.commit_transaction(20)
    wait_for(lambda: lab.owned(0) == PARTITIONS)
    assert "count partition 0: 1 store records restored" in lab.log_of(0).read_text()


def test_missing_topics_end_the_worker_with_the_mend(kafka: Any, tmp_path: Path) -> None:
    lab = Lab(kafka.bootstrap, tmp_path)
    lab.create_topics(("left", "right"))
    assert exit_code_of(lab.start_worker()) == ExitCode.CONFIGURATION
    log = lab.log_of(0).read_text()
    missing = ("count.store", "counted", "left.dlq", "right.dlq")
    assert f"no topic {', '.join(lab.prefix + topic for topic in missing)}" in log
    assert "leadstream topics apply" in log
    assert "Traceback" not in log


def test_an_unreachable_broker_ends_the_worker_with_its_address(tmp_path: Path) -> None:
    lab = Lab("127.0.0.1:1", tmp_path)
    began = time.monotonic()
    assert exit_code_of(lab.start_worker()) == ExitCode.TEMPORARY
    assert time.monotonic() - began < 15
    log = lab.log_of(0).read_text()
    assert log.count(" CRITICAL ") == 1
    assert "cannot reach Kafka at 127.0.0.1:1 (Connection refused)" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_worker_cleanly_also_while_it_waits_for_the_broker(
    tmp_path: Path, stop: signal.Signals
) -> None:
    lab = Lab("127.0.0.1:1", tmp_path)
    worker = lab.start_worker()
    wait_for(lambda: "waiting for Kafka" in lab.log_of(0).read_text())
    os.kill(worker.pid, stop)
    assert exit_code_of(worker, 10) == 0
