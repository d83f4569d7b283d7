"""A small schema registry over HTTP, in a test's own process or as one of its own."""

from __future__ import annotations

import argparse
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class FakeRegistry(ThreadingHTTPServer):
    """Stores schemas under subjects and ids, as Confluent's REST interface shows them.

    Args:
        port: 0 chooses a free one.
        kept_in: a file that holds the schemas when this process has ended; None keeps nothing.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, kept_in: Path | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.subjects: dict[str, list[int]] = {}
        self.schemas: list[dict[str, Any]] = []
        self.compatibility: dict[str, str] = {}
        self.credentials: str | None = None
        self.fail_next = 0
        self._kept_in = kept_in
        self._lock = threading.Lock()
        if kept_in is not None and kept_in.exists():
            kept = json.loads(kept_in.read_bytes())
            self.subjects, self.schemas = kept["subjects"], kept["schemas"]
            self.compatibility = kept["compatibility"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def _keep(self) -> None:
        """Write down what is stored, before it is acknowledged."""
        if self._kept_in is None:
            return
        stored = {
            "subjects": self.subjects,
            "schemas": self.schemas,
            "compatibility": self.compatibility,
        }
        written = self._kept_in.with_suffix(".new")
        written.write_text(json.dumps(stored))
        written.rename(self._kept_in)

    def put(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        document = {"schema": schema, "schemaType": kind}
        with self._lock:
            if document not in self.schemas:
                self.schemas.append(document)
            schema_id = self.schemas.index(document) + 1
            if schema_id not in self.subjects.setdefault(subject, []):
                self.subjects[subject].append(schema_id)
            self._keep()
        return schema_id

    def set_compatibility(self, subject: str, level: str) -> None:
        with self._lock:
            self.compatibility[subject] = level
            self._keep()


class _Handler(BaseHTTPRequestHandler):
    server: FakeRegistry

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def missing(self, code: int = 40401) -> None:
        self.answer(404, {"error_code": code, "message": "not found"})

    def handle_any(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        state = self.server
        if state.fail_next:
            state.fail_next -= 1
            return self.answer(503, {"error_code": 50301, "message": "starting"})
        if state.credentials is not None:
            expected = "Basic " + base64.b64encode(state.credentials.encode()).decode()
            if self.headers.get("Authorization") != expected:
                return self.answer(401, {"error_code": 40101, "message": "Unauthorized"})
        match [self.command, *self.path.partition("?")[0].strip("/").split("/")]:
            case ["POST", "subjects", subject, "versions"]:
                return self.answer(
                    200, {"id": state.put(subject, body["schema"], body.get("schemaType", "AVRO"))}
                )
            case ["POST", "subjects", subject]:
                for version, schema_id in enumerate(state.subjects.get(subject, []), 1):
                    if state.schemas[schema_id - 1]["schema"] == body["schema"]:
                        found = {"subject": subject, "id": schema_id, "version": version}
                        return self.answer(200, found | state.schemas[schema_id - 1])
                return self.missing(40403)
            case ["GET", "schemas", "ids", number] if int(number) <= len(state.schemas):
                return self.answer(200, state.schemas[int(number) - 1])
            case ["GET", "subjects"]:
                return self.answer(200, sorted(state.subjects))
            case ["GET", "subjects", subject, "versions"] if subject in state.subjects:
                return self.answer(200, list(range(1, len(state.subjects[subject]) + 1)))
            case ["GET", "subjects", subject, "versions", version]:
                schema_id = state.subjects[subject][int(version) - 1]
                found = {"subject": subject, "id": schema_id, "version": int(version)}
                return self.answer(200, found | state.schemas[schema_id - 1])
            case ["PUT", "config", subject]:
                state.set_compatibility(subject, body["compatibility"])
                return self.answer(200, body)
        return self.missing()

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815  http.server's names


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kept-in", type=Path, required=True, help="file of the schemas")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    FakeRegistry(options.port, options.kept_in).serve_forever()
