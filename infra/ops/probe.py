"""Asks the web server of this machine's worker, sink or collector, for supervisors.

`python -m leadstream.infra.ops.probe [--sink|--collect] [health|ready]`: settings and token come
from the environment, as the process's own do. Exit code 0 for yes, 1 for no; the reasons are
printed.
"""

from __future__ import annotations

import argparse
import http.client
import sys

from leadstream.schemas.settings import Settings, load_settings

TIMEOUT_S = 4.0
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  not listened on here: what stands for loopback


def ask(settings: Settings, path: str, port: int) -> tuple[bool, str]:
    """Return whether the answer is yes, and what it says."""
    host = "127.0.0.1" if settings.web_host in ANY_ADDRESS else settings.web_host.strip("[]")
    headers = {}
    if settings.web_token is not None:
        headers["Authorization"] = f"Bearer {settings.web_token.get_secret_value()}"
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status == http.client.OK, response.read().decode("utf-8", "replace")
    except OSError as error:
        return False, f"http://{host}:{port}{path}: {error.strerror or error}"
    finally:
        connection.close()


def main(arguments: list[str] | None = None) -> int:
    """Ask once; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m leadstream.infra.ops.probe")
    parser.add_argument("question", nargs="?", default="ready", choices=("health", "ready"))
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--sink", action="store_true", help="ask the sink, not the worker")
    other.add_argument("--collect", action="store_true", help="ask the collector")
    given = parser.parse_args(arguments)
    settings = load_settings()
    port = settings.sink_web_port if given.sink else settings.web_port
    port = settings.collect_web_port if given.collect else port
    yes, said = ask(settings, f"/{given.question}", port)
    sys.stdout.write(f"{said}\n")
    return 0 if yes else 1


if __name__ == "__main__":
    sys.exit(main())
