"""Records of change feeds for tests: Salesforce's events and Debezium's envelopes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastavro

from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import SCHEMA_OF, source_topic
from leadstream.streams.engine.processor import BatchResult, Output, Record
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.sources.sources_file import Source, SourceSpec
from leadstream.streams.sources.stage import SourceStage

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "sources"
MAPPINGS = ROOT / "infra" / "mappings"
LEAD_SCHEMA: dict[str, Any] = json.loads(
    (FIXTURES / "salesforce" / "LeadChangeEvent.avsc").read_text("utf-8")
)
SALESFORCE = {
    "Lead": "salesforce_lead.yaml",
    "Opportunity": "salesforce_opportunity.yaml",
    "Task": "salesforce_task.yaml",
}
DATABASE = {"leads": "crm_db_leads.yaml", "deals": "crm_db_deals.yaml"}
AT_MS = 1_714_153_779_000


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def source(
    kind: str, mappings: Mapping[str, str | Path], schemas: Mapping[str, Any] | None = None
) -> Source:
    spec = SourceSpec.model_validate(
        {
            "name": "crm",
            "kind": kind,
            "topics": ["feed"],
            "mappings": dict.fromkeys(mappings or ["any"], "-"),
        }
    )
    files = {entity: load_mapping(MAPPINGS / path) for entity, path in mappings.items()}
    return Source(spec, files, schemas or {})


class Feed:
    """One partition of a source's topic, processed in memory."""

    def __init__(self, of: Source) -> None:
        self.stage = SourceStage(Settings(), SingleObject(), of, "feed")
        self._logic = self.stage.open(0)
        self._next = 0
        self._decoders = {
            topic: Decoder(SCHEMA_OF[topic], SingleObject()) for topic in self.stage.outputs
        }

    def process(self, records: Iterable[Record]) -> BatchResult:
        return self._logic.process(list(records), 0)

    def record(
        self, value: bytes | None, key: bytes | None = None, headers: Sequence[Any] = ()
    ) -> Record:
        self._next += 1
        return Record(source_topic("feed"), 0, self._next - 1, 0, key, value, headers)

    def read(self, *values: bytes | None, **more: Any) -> BatchResult:
        return self.process(self.record(value, **more) for value in values)

    def events(self, *values: bytes | None, **more: Any) -> list[CrmEvent | Touchpoint]:
        result = self.read(*values, **more)
        assert not result.dead_letters, result.dead_letters
        return [self.decoded(output) for output in result.outputs]

    def decoded(self, output: Output) -> CrmEvent | Touchpoint:
        event: CrmEvent | Touchpoint = self._decoders[output.topic].decode(output.value)
        return event


def lead_change(kind: str, lead: str = "00Q1", *, number: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a change event of a lead with the changed fields by name."""
    return change_event("Lead", kind, lead, number=number, **fields)


def change_event(
    entity: str, kind: str, record_id: str, *, number: int = 1, at_ms: int = AT_MS, **fields: Any
) -> dict[str, Any]:
    header = {
        "entityName": entity,
        "recordIds": [record_id],
        "changeType": kind,
        "changeOrigin": "com/salesforce/api/rest/60.0",
        "transactionKey": f"00006948-0ac9-7da3-edb3-{number:012d}",
        "sequenceNumber": 1,
        "commitTimestamp": at_ms,
        "commitNumber": 1_100_638_524_517 + number,
        "commitUser": "0055f000005mc66AAA",
        "nulledFields": [],
        "diffFields": [],
        "changedFields": list(fields) if kind == "UPDATE" else [],
    }
    return {"ChangeEventHeader": header, **fields}


def as_json(plain: Any) -> bytes:
    return json.dumps(plain).encode()


def as_avro(event: Mapping[str, Any], schema: Any = None) -> bytes:
    """Return the payload as the Pub/Sub API gives it: nothing before the Avro body."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema or LEAD_SCHEMA), event)
    return body.getvalue()


def envelope(
    op: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    table: str = "leads",
    lsn: int = 1,
    at_ms: int = AT_MS,
    **of_source: Any,
) -> dict[str, Any]:
    """Return Debezium's envelope of PostgreSQL without its schema."""
    told = {
        "version": "2.7.3.Final",
        "connector": "postgresql",
        "name": "crm",
        "ts_ms": at_ms,
        "snapshot": "true" if op == "r" else "false",
        "db": "crm",
        "schema": "public",
        "table": table,
        "txId": lsn // 2,
        "lsn": lsn,
        **of_source,
    }
    return {"before": before, "after": after, "source": told, "op": op, "ts_ms": at_ms + 500}


def lead_row(number: int = 1, **columns: Any) -> dict[str, Any]:
    return {
        "id": number,
        "status": "new",
        "status_reason": None,
        "owner": "ines",
        "updated_by": "ines",
        "company": "Acme",
        "industry": "software",
        "employees": 50,
        "country": "DE",
        "merged_into": None,
        "created_at": "2024-04-26T17:49:39Z",
        **columns,
    }


def deal_row(number: int = 7, **columns: Any) -> dict[str, Any]:
    return {
        "id": number,
        "lead_id": 1,
        "stage": "open",
        "owner": "ines",
        "amount": "1200.50",
        "currency": "EUR",
        "lost_reason": None,
        "created_at": "2024-04-27T08:00:00Z",
        "closed_at": None,
        **columns,
    }
