"""Brokers in network namespaces of their own, joined by a switch; links and routes can be cut.

A cut swallows packets: connections hang, as behind a broken switch, and are not refused. All
namespaces, their links and mounts vanish with this process, however it ends. Needs Linux and the
right to make namespaces (root); `Network` raises IsolationUnavailableError where that is missing.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from leadstream.infra.child_server import ChildServer, ServerFailedError

# Reserved for tests of networks (RFC 2544): no machine of anybody has an address here.
_TEST_NETWORKS = ipaddress.ip_network("198.18.0.0/15")
_PREFIX_LENGTH = 28
_NOWHERE = "02:00:00:00:00:01"  # a hardware address that no link has
_START_TIMEOUT_S = 20.0


class IsolationUnavailableError(RuntimeError):
    """This machine does not let us make namespaces; the message says what it said."""


class Namespace:
    """A network and mount namespace, held open by a sleeping child."""

    def __init__(self, name: str, directory: Path) -> None:
        self._holder = ChildServer(f"namespace {name}", directory / f"namespace-{name}.log")
        self._holder.launch(["unshare", "--net", "--mount", "sleep", "infinity"])
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._entered():
            if self._holder.pid is None or time.monotonic() > deadline:
                said = self._holder.account("was not made")
                self._holder.kill()
                raise IsolationUnavailableError(said)
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """Of the process that holds it."""
        pid = self._holder.pid
        if pid is None:
            raise ServerFailedError(self._holder.account("is gone"))
        return pid

    def command(self, *argv: str) -> list[str]:
        """Return the command that runs `argv` inside; it keeps its process id."""
        inside = f"/proc/{self.pid}/ns"
        return ["nsenter", f"--net={inside}/net", f"--mount={inside}/mnt", *argv]

    def run(self, *argv: str) -> str:
        """Run a command inside and return what it printed."""
        return _run(*self.command(*argv))

    def seen_from_outside(self, path: Path) -> Path:
        """Return a name for `path`, as mounted inside, that holds inside and outside."""
        return Path(f"/proc/{self.pid}/root") / path.relative_to("/")

    def close(self) -> None:
        self._holder.kill()

    def _entered(self) -> bool:
        # Between fork and exec the child is still in our namespaces.
        pid = self._holder.pid
        try:
            return pid is not None and Path(f"/proc/{pid}/exe").readlink().name in (
                "sleep",
                "coreutils",
            )
        except OSError:
            return False


class Network:
    """A switch with one port for this process and one for each member, numbered from 1."""

    def __init__(self, directory: Path, members: int) -> None:
        for tool in ("ip", "unshare", "nsenter"):
            if shutil.which(tool) is None:
                raise IsolationUnavailableError(
                    f"no {tool} on the PATH: install iproute2 and util-linux"
                )
        self._network = _unused_network()
        self._outside = f"ls{uuid.uuid4().hex[:8]}"
        self._namespaces: list[Namespace] = []
        try:
            self._switch = self._namespace("switch", directory)
            self._members = {
                number: self._namespace(f"broker-{number}", directory)
                for number in range(1, members + 1)
            }
            self._wire()
        except BaseException:
            self.close()
            raise

    def address(self, member: int) -> str:
        """Return where a member is reached; member 0 is this process."""
        return str(self._network[member + 1])

    def namespace(self, member: int) -> Namespace:
        return self._members[member]

    def unplug(self, member: int) -> None:
        """Take the member's cable out: nobody reaches it any more."""
        self._switch.run("ip", "link", "set", f"port{member}", "down")

    def plug(self, member: int) -> None:
        self._switch.run("ip", "link", "set", f"port{member}", "up")

    def separate(self, member: int, others: Iterable[int]) -> None:
        """Let packets between the member and the others go nowhere, both ways."""
        for other in others:
            self._mislead(member, other)
            self._mislead(other, member)

    def reunite(self, member: int, others: Iterable[int]) -> None:
        for other in others:
            self._lead(member, other)
            self._lead(other, member)

    def close(self) -> None:
        for namespace in self._namespaces:
            namespace.close()

    def _namespace(self, name: str, directory: Path) -> Namespace:
        made = Namespace(name, directory)
        self._namespaces.append(made)
        return made

    def _wire(self) -> None:
        # The switch has a namespace of its own: with it goes every link, ours too.
        self._switch.run("ip", "link", "add", "switch", "type", "bridge")
        self._switch.run("ip", "link", "set", "switch", "up")
        self._switch.run(
            "ip", "link", "add", "port0", "type", "veth", "peer", "name", self._outside
        )
        self._switch.run("ip", "link", "set", self._outside, "netns", str(os.getpid()))
        self._join(0)
        _run("ip", "address", "add", self._with_prefix(0), "dev", self._outside)
        _run("ip", "link", "set", self._outside, "up")
        for number, member in self._members.items():
            port = f"port{number}"
            self._switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "cable")
            self._switch.run("ip", "link", "set", "cable", "netns", str(member.pid))
            self._join(number)
            member.run("ip", "address", "add", self._with_prefix(number), "dev", "cable")
            member.run("ip", "link", "set", "cable", "up")

    def _join(self, number: int) -> None:
        self._switch.run("ip", "link", "set", f"port{number}", "master", "switch", "up")

    def _with_prefix(self, member: int) -> str:
        return f"{self.address(member)}/{_PREFIX_LENGTH}"

    def _mislead(self, member: int, other: int) -> None:
        permanent = ["lladdr", _NOWHERE, "nud", "permanent", "dev", "cable"]
        self._members[member].run("ip", "neighbour", "replace", self.address(other), *permanent)

    def _lead(self, member: int, other: int) -> None:
        self._members[member].run("ip", "neighbour", "delete", self.address(other), "dev", "cable")


def _unused_network() -> ipaddress.IPv4Network:
    links = json.loads(_run("ip", "-json", "-4", "address"))
    used = [
        ipaddress.ip_interface(f"{given['local']}/{given['prefixlen']}").network
        for link in links
        for given in link["addr_info"]
    ]
    count = 2 ** (_PREFIX_LENGTH - _TEST_NETWORKS.prefixlen)
    while True:
        number = random.randrange(count)
        first = int(_TEST_NETWORKS.network_address) + number * 2 ** (32 - _PREFIX_LENGTH)
        chosen = ipaddress.IPv4Network((first, _PREFIX_LENGTH))
        if not any(chosen.overlaps(other) for other in used):
            return chosen


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise IsolationUnavailableError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
