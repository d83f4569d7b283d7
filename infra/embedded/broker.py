"""The broker of the demo: noida-db, one small binary that speaks Kafka's protocol, as our child.

For a demo and for development only: it loses acknowledged records when it is killed with SIGKILL,
and a read_committed consumer in mid-log may miss committed records. `stop` keeps the data.
"""

import importlib.util
import os
import signal
from pathlib import Path

from leadstream.infra.child_server import (
    LOOPBACK,
    ChildServer,
    LoopbackBroker,
    PortInUseError,
    free_port,
    port_is_free,
)

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 20.0  # it writes its whole data file when it ends


class EmbeddedUnavailableError(RuntimeError):
    """The optional dependencies of the embedded mode are missing; the message has the mend."""


class EmbeddedBroker(LoopbackBroker):
    """The embedded broker on loopback; as a context manager it is started and stopped."""

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        """Prepare the broker, start nothing.

        Args:
            data_dir: what it stores, and its log.
            port: 0 chooses a free one, kept over restarts.
        """
        self.data_dir = data_dir
        self.port = port or free_port()
        # SIGTERM and not SIGKILL when we die, because SIGKILL loses what it had acknowledged.
        self._server = ChildServer(
            "the embedded broker", self.log_path, death_signal=signal.SIGTERM
        )

    @property
    def log_path(self) -> Path:
        """What the broker prints; a warning about GLIBC on its first line is harmless."""
        return self.data_dir / "broker.log"

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Start the broker and return once it answers clients.

        Raises:
            EmbeddedUnavailableError: the extra is not installed.
            PortInUseError: the port is taken.
            ServerFailedError: it ended or did not answer in time.
        """
        binary = _binary()
        if not port_is_free(self.port):
            raise PortInUseError(
                f"port {self.port} on {LOOPBACK} is in use: stop what listens there, "
                "or choose another port (0 takes a free one)"
            )
        self.data_dir.mkdir(parents=True, exist_ok=True)
        # `start` stays in the foreground and thereby our child; `up` detaches itself.
        options = ["--only", "kafka", "--kafka-port", str(self.port), "--host", LOOPBACK]
        self._server.launch([str(binary), "start", *options, "--data-dir", str(self.data_dir)])
        self._server.await_kafka(self.port, timeout_s)

    def account(self, what: str) -> str:
        """Return a sentence for an error, with the last lines of the broker's log."""
        return self._server.account(what)

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """End the broker so that its data is kept; kill it when that exceeds `timeout_s`."""
        self._server.stop(timeout_s)


def _binary() -> Path:
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise EmbeddedUnavailableError(
            "the embedded broker (noida-db) is not installed: pip install 'leadstream[embedded]', "
            "or point --kafka to a Kafka broker"
        )
    # The binary itself: its Python command runs it as a grandchild, which signals do not reach.
    binary = Path(spec.origin).with_name("noida-db")
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)  # some installers drop the bit; noida-db's own command does the same
    return binary
