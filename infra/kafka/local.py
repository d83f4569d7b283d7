"""Apache Kafka as a child process on this machine, from the jars on Maven Central.

Owns the cache of jars and one node (broker and KRaft controller in one) of a cluster. Data lies
under `data_dir`, survives `stop`, `kill` and `restart`, and belongs to whoever made the directory.
"""

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from leadstream.infra.child_server import (
    LOOPBACK,
    ChildServer,
    LoopbackBroker,
    PortInUseError,
    ServerFailedError,
    free_port,
    port_is_free,
)

POM = Path(__file__).with_name("pom.xml")
JAVA_MINIMUM = 17

# Short-lived brokers: C1 alone reaches its speed in a second. For throughput figures pass `()`.
FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_MAVEN_TIMEOUT_S = 600.0

_LOG4J = """\
status = warn
appender.file.type = File
appender.file.name = FILE
appender.file.fileName = ${sys:leadstream.kafka.log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.file.ref = FILE
"""


class KafkaUnavailableError(RuntimeError):
    """Kafka cannot be started here; the message says what is missing and how to install it."""


@dataclass(frozen=True)
class Node:
    """One member of the cluster: its id, its address and its two ports there."""

    node_id: int
    port: int
    controller_port: int
    host: str = LOOPBACK


def kafka_version() -> str:
    """Return the version of Kafka that `pom.xml` names."""
    version = ElementTree.parse(POM).findtext(  # noqa: S314  our own file
        "{*}properties/{*}kafka.version"
    )
    if not version:
        raise KafkaUnavailableError(f"{POM}: <properties> has no <kafka.version>; add it")
    return version


def default_cache_dir() -> Path:
    """Return where jars are kept: `$LEADSTREAM_KAFKA_CACHE`, or a directory of the user's cache."""
    if configured := os.environ.get("LEADSTREAM_KAFKA_CACHE"):
        return Path(configured)
    return Path.home() / ".cache" / "leadstream" / f"kafka-{kafka_version()}"


def ensure_jars(cache_dir: Path | None = None) -> Path:
    """Return a directory with Kafka's jars; the first caller downloads, others wait for it.

    Raises:
        KafkaUnavailableError: Maven is missing or could not resolve the jars.
    """
    cache_dir = cache_dir or default_cache_dir()
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    jars = cache_dir / f"jars-{digest}"  # another pom is another directory, never a mixture
    if jars.is_dir():
        return jars
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _locked(cache_dir / "LOCK"):
        if not jars.is_dir():
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=cache_dir))
            try:
                _download(partial)
                partial.chmod(0o755)  # mkdtemp made it private; a cache may be shared
                partial.rename(jars)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return jars


@dataclass(frozen=True)
class Java:
    """A java command that runs Kafka, and its full version."""

    command: str
    version: str


def find_java() -> Java:
    """Return the java of `$JAVA_HOME` or of the PATH.

    Raises:
        KafkaUnavailableError: there is none, or it is older than Java 17.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    mend = "install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"
    if java is None or shutil.which(java) is None:
        where = f"in JAVA_HOME={home}" if home else "on the PATH"
        raise KafkaUnavailableError(f"no java {where}: {mend}")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "((\d+)[^"]*)', shown)
    if found is None or int(found.group(2)) < JAVA_MINIMUM:
        raise KafkaUnavailableError(f"{java} is {shown.strip() or 'no Java'}: {mend}")
    return Java(java, found.group(1))


def server_properties(
    node: Node, log_dir: Path, quorum: Sequence[Node], extra: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings of one node; `extra` wins over every default."""
    replicas = str(min(3, len(quorum)))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": ",".join(
            f"{member.node_id}@{member.host}:{member.controller_port}" for member in quorum
        ),
        "listeners": (
            f"PLAINTEXT://{node.host}:{node.port},CONTROLLER://{node.host}:{node.controller_port}"
        ),
        "advertised.listeners": f"PLAINTEXT://{node.host}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(log_dir),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": "2" if len(quorum) > 2 else "1",
        # Internal topics are made at first use, all partitions at once: fewer are faster.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": replicas,
        "group.initial.rebalance.delay.ms": "0",
        # After a SIGKILL the same node id is refused until its old session has ended (9 s).
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
        # Lead histories carry old event times; time-based retention would delete them at once.
        "log.retention.ms": "-1",
        **extra,
    }


class LocalKafka(LoopbackBroker):
    """One Kafka node on loopback; as a context manager it is started and stopped."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        properties: Mapping[str, str] | None = None,
        heap: str = "512m",
        jvm_options: Sequence[str] = FAST_START,
        cache_dir: Path | None = None,
        node: Node | None = None,
        quorum: Sequence[Node] = (),
        cluster_id: str | None = None,
        log_dir: Path | None = None,
        launcher: Sequence[str] = (),
        format_options: Sequence[str] = (),
    ) -> None:
        """Prepare a node, start nothing.

        Args:
            port: of the broker; 0 chooses a free one, kept over restarts.
            properties: server properties beside, or instead of, those of `server_properties`.
            heap: the JVM's largest heap, as java writes it.
            node, quorum, cluster_id: for a cluster, where every node knows all of them.
            log_dir: where the partitions lie, if not under `data_dir`.
            launcher: a command that runs java as its argument, in a network namespace, say.
            format_options: for `kafka-storage format`, such as users (`--add-scram ...`).
        """
        self.node = node or Node(1, port or free_port(), free_port())
        self.port = self.node.port
        self.data_dir = data_dir
        self._quorum = tuple(quorum) or (self.node,)
        self._properties = dict(properties or {})
        self._jvm_options = (f"-Xmx{heap}", *jvm_options)
        self._cache_dir = cache_dir
        self._cluster_id = cluster_id or new_cluster_id()
        self._log_dir = log_dir or data_dir / "data"
        self._launcher = tuple(launcher)
        self._format_options = tuple(format_options)
        self._archive = data_dir / "classes.jsa"
        self._server = ChildServer("Apache Kafka", data_dir / "console.log")

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"{self.node.host}:{self.port}"

    @property
    def log_path(self) -> Path:
        """The broker's own log; what the JVM says of itself is in `console.log` beside it."""
        return self.data_dir / "server.log"

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Start the node and return once it answers clients.

        Raises:
            KafkaUnavailableError: Java, Maven or the jars are missing.
            PortInUseError: a port that was asked for is taken.
            ServerFailedError: it ended or did not answer in time.
        """
        self.launch()
        self.await_ready(timeout_s)

    def launch(self) -> None:
        """Start the node without waiting: the nodes of a cluster answer only once most are up."""
        for port in (self.node.port, self.node.controller_port):
            if self.node.host == LOOPBACK and not port_is_free(port):
                raise PortInUseError(
                    f"port {port} on {LOOPBACK} is in use: stop what listens there, "
                    "or let LocalKafka choose one with port=0"
                )
        java = find_java()
        jars = ensure_jars(self._cache_dir)
        self._write_configuration()
        self._archive = jars.parent / f"{jars.name}-java-{java.version}.jsa"
        command = self._jvm(java, jars)
        if not (self._log_dir / "meta.properties").exists():
            self._format(command)
        if not self._archive.exists():
            command.append(f"-XX:ArchiveClassesAtExit={self._new_archive}")
        self._server.launch([*command, "kafka.Kafka", str(self._config)])

    def await_ready(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Return once the node answers; see `start` for what it raises."""
        self._server.await_kafka(self.node.port, timeout_s, host=self.node.host)

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """End the node in order, or kill it when that takes longer than `timeout_s`."""
        in_order = self._server.stop(timeout_s)
        if in_order and self._new_archive.exists():
            self._new_archive.rename(self._archive)
        self._new_archive.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the node with SIGKILL, as a crash would."""
        self._server.kill()
        self._new_archive.unlink(missing_ok=True)  # a half-written one

    def freeze(self) -> None:
        """Stop the node where it stands, with SIGSTOP."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let a frozen node go on."""
        self._server.thaw()

    @property
    def _config(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _new_archive(self) -> Path:
        return self._archive.with_name(f"{self._archive.name}.{os.getpid()}-{self.node.port}")

    def _write_configuration(self) -> None:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        settings = server_properties(self.node, self._log_dir, self._quorum, self._properties)
        self._config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        (self.data_dir / "log4j2.properties").write_text(_LOG4J)

    def _jvm(self, java: Java, jars: Path) -> list[str]:
        command = [*self._launcher, java.command, *self._jvm_options]
        # Kafka's classes, parsed and verified once and mapped from then on: they halve the start.
        # The JVM checks that it fits and starts without it when it does not.
        if self._archive.exists():
            command.append(f"-XX:SharedArchiveFile={self._archive}")
        return [
            *command,
            f"-Dlog4j2.configurationFile={self.data_dir / 'log4j2.properties'}",
            f"-Dleadstream.kafka.log={self.log_path}",
            "-cp",
            os.pathsep.join(str(jar) for jar in sorted(jars.glob("*.jar"))),
        ]

    def _format(self, command: Sequence[str]) -> None:
        # With "=", because an id may begin with a dash.
        arguments = ["format", f"--cluster-id={self._cluster_id}", f"--config={self._config}"]
        arguments += self._format_options
        done = subprocess.run(
            [*command, "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailedError(
                f"formatting {self._log_dir} failed: {done.stdout}{done.stderr}; "
                f"check the properties in {self._config}"
            )


def new_cluster_id() -> str:
    """Return a random id in the form that Kafka wants."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _download(directory: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError(
            "no mvn on the PATH, which fetches Kafka's jars: "
            "install Maven (Debian: apt-get install maven)"
        )
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={directory}"]
    try:
        done = subprocess.run(
            [maven, "-B", "-q", "-f", str(POM), *goal],
            capture_output=True,
            text=True,
            check=False,
            timeout=_MAVEN_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as late:
        raise KafkaUnavailableError(
            f"Maven did not fetch Kafka's jars in {_MAVEN_TIMEOUT_S:g} s: "
            "check the connection to Maven Central or the mirror in Maven's settings"
        ) from late
    if done.returncode != 0:
        raise KafkaUnavailableError(
            f"Maven could not resolve {POM}: check the connection to Maven Central or the mirror "
            f"in Maven's settings\n{done.stdout.strip()}"
        )
