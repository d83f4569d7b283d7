"""A candidate model beside the active ones: it decides, its decisions are recorded, none routes.

Its records live in the stage's store under a prefix, in the same transactions. A lead comes under
the candidate with its next event, and then with all of its events that are still insertable. What
fails here costs the lead its shadow in this process, and the active versions nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder
from leadstream.schemas.decisions import Transition
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.streams.domain.compiled import CompiledModel, ModelSet
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.joining import take
from leadstream.streams.domain.lead import LeadRecord, Limits, absorb, new_record
from leadstream.streams.domain.record import PAST_LOST
from leadstream.streams.domain.scoring import score_at
from leadstream.streams.domain.standings import ACCOUNT, BY_ACCOUNT
from leadstream.streams.domain.stored_state import decode_state
from leadstream.streams.engine.processor import BatchResult, Output
from leadstream.streams.lifecycle.identities import forget_past
from leadstream.streams.lifecycle.joins import Joining
from leadstream.streams.lifecycle.records import Judges, LeadRecords, judged_by

log = logging.getLogger(__name__)

SHADOW_KEY: Final = b"\x01shadow:"
SHADOW_STARTED: Final = "shadow_started"
"""Cause of the record that tells from when on a lead with settled history is under a candidate."""


class Shadow:
    """The candidate, shared by all partitions of a worker."""

    def __init__(self, candidate: CompiledModel, limits: Limits, encoder: Encoder) -> None:
        self.version = candidate.version
        self.models = ModelSet([candidate])
        self.limits = limits
        self.encoder = encoder
        self.judges = Judges(self.models)
        self.judges.id = _version_id(candidate.version) + self.judges.id[:4]
        self.is_off = False
        self.failures = 0

    def knows(self, value: bytes) -> bool:
        """Return whether a kept value is this candidate's own.

        One of the same version with other content turns the shadow off: under one name there
        would be the decisions of two models.
        """
        kept = judged_by(value)
        if kept == self.judges.id:
            return True
        if kept[:4] == self.judges.id[:4] and not self.is_off:
            self.is_off = True
            log.error(
                'shadow model "%s" has changed since it ran before: nothing is recorded; give the '
                "changed one another version",
                self.version,
            )
        return False


class ShadowPartition:
    """The leads of one partition under the candidate; without one, only forgets what was kept."""

    def __init__(self, shadow: Shadow | None, store_format: int) -> None:
        self._shadow = shadow
        self._records = LeadRecords(store_format)
        self._outdated: set[bytes] = set()
        self._failed: set[bytes] = set()

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a store record; `key` is the lead's, without the prefix."""
        self._outdated.discard(key)
        if value is None or (self._shadow is not None and self._shadow.knows(value)):
            self._records.restore(key, value)
        else:
            self._records.restore(key, None)
            self._outdated.add(key)

    def take_due(self, now: EpochMs) -> list[bytes]:
        """Return the leads that are due under the candidate."""
        return self._records.take_due(now)

    def next_due(self) -> EpochMs:
        """Return when the next lead is due under the candidate; NEVER_MS when none is."""
        return self._records.next_due()

    def needs_history(self, key: bytes) -> bool:
        """Return whether the lead comes under the candidate now."""
        return self._is_on(key) and key not in self._records

    def fold(
        self,
        key: bytes,
        history: LeadRecord | None,
        events: Sequence[LeadEvent],
        joining: Joining | None,
        now: EpochMs,
        now_ms: int,
        result: BatchResult,
    ) -> None:
        """Fold a lead's events under the candidate; never raises.

        Args:
            history: the lead under the active versions before these events, where it
                `needs_history`.
            joining: what other ids gave the lead and took back, which is in its history.
            now: deadlines pass up to this instant.
            now_ms: the wall clock, from which a lead's revisions start anew.
        """
        shadow = self._shadow
        if shadow is None or not self._is_on(key):
            self._forget(key, result)
            return
        try:
            outputs, value = self._folded(shadow, key, history, events, joining, now, now_ms)
        except Exception as error:
            self._failed.add(key)
            self._records.restore(key, None)
            self._outdated.add(key)
            self._forget(key, result)
            shadow.failures += 1
            log.error(
                'shadow model "%s": lead %s is no longer followed (%d in all): %s: %s',
                shadow.version,
                key.decode(),
                shadow.failures,
                type(error).__name__,
                error,
            )
            return
        self._outdated.discard(key)
        result.outputs += outputs
        if value is not None:
            result.store[SHADOW_KEY + key] = value

    def erase(self, key: bytes, result: BatchResult) -> None:
        """Forget a lead that was erased; its new life comes under the candidate anew."""
        self._forget(key, result)

    def _is_on(self, key: bytes) -> bool:
        return self._shadow is not None and not self._shadow.is_off and key not in self._failed

    def _forget(self, key: bytes, result: BatchResult) -> None:
        """Remove what was kept of a lead that missed an event, so that it begins anew one day."""
        if key in self._outdated or key in self._records:
            self._records.restore(key, None)
            self._outdated.discard(key)
            result.store[SHADOW_KEY + key] = None

    def _folded(
        self,
        shadow: Shadow,
        key: bytes,
        history: LeadRecord | None,
        events: Sequence[LeadEvent],
        joining: Joining | None,
        now: EpochMs,
        now_ms: int,
    ) -> tuple[list[Output], bytes | None]:
        record = self._records.load(key, shadow.judges)
        said: list[Transition] = []
        if record is None:
            record = _begun(key.decode(), history)
            record.revision = now_ms
            said += _marks(record, shadow)
        elif joining is not None:
            # What accounts tell is of the active versions' world.
            take(record, [each for each in joining.given if each.source != ACCOUNT])
        revision = record.revision
        sayings = absorb(record, events, shadow.models, shadow.limits, now)
        forget_past(record)
        if record.revision == revision and not said:
            return [], None
        said += [s.decision for s in sayings if isinstance(s.decision, Transition)]
        outputs = [
            Output(topics.LEAD_SHADOW, key, shadow.encoder.encode(transition))
            for transition in said
        ]
        return outputs, self._records.keep(key, record, shadow.judges)


def _begun(lead_id: str, history: LeadRecord | None) -> LeadRecord:
    """Return a lead as it is before its insertable events are folded."""
    begun = new_record(lead_id)
    if history is None:
        return begun
    begun.erased_at = history.erased_at
    if history.base is not None:
        begun.head = decode_state(history.base)
        begun.base, begun.base_at = history.base, history.base_at
        begun.forgotten_until, begun.settled = history.forgotten_until, history.settled
        begun.past = PAST_LOST
    begun.tail.replace([entry for entry in history.tail if entry.sources != BY_ACCOUNT])
    begun.is_joined, begun.is_unfolded = history.is_joined, len(begun.tail) > 0
    return begun


def _marks(begun: LeadRecord, shadow: Shadow) -> list[Transition]:
    """Return the record that a lead's earlier stages were decided by others, where they were."""
    state = begun.head
    if begun.base is None or state.next_seq == 0:
        return []
    mark = Transition(
        id=decision_id(state.lead_id, state.cycle, SHADOW_STARTED, shadow.version, begun.base_at),
        lead_id=state.lead_id,
        seq=state.next_seq - 1,
        cycle=state.cycle,
        from_stage=state.stage,
        to_stage=state.stage,
        occurred_at=begun.base_at,
        cause=SHADOW_STARTED,
        model_version=shadow.version,
        score=score_at(state, shadow.models.at(begun.base_at), begun.base_at),
        revision=begun.revision,
    )
    return [mark]


def _version_id(version: str) -> bytes:
    return blake2b(version.encode(), digest_size=4).digest()
