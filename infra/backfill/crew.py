"""Worker processes that do one task at a time, for one process that hands out and collects.

A worker that dies is a fault of the whole, told by name; workers end with whoever started them,
even if that was killed.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Self

STOP_TIMEOUT_S: Final = 10.0

# A fork would copy threads' locks, and an engine that may run in one process only.
_context = multiprocessing.get_context("spawn")


class WorkerError(Exception):
    """A worker could not do its task, or is gone; the message says why."""


class Crew:
    """Processes that each hold what `make` returns; a context manager.

    Args:
        make: gives the worker, a context manager, for the number of its process, from 0. It is
            sent to the process, as are tasks and results: bytes, numbers and names travel well.
        told: exceptions that a user mends; of these the message comes through, of others the
            traceback.
    """

    def __init__(
        self,
        count: int,
        make: Callable[[int], AbstractContextManager[Any]],
        told: tuple[type[Exception], ...] = (),
    ) -> None:
        self._ends: list[Connection] = []
        self._processes = []
        for number in range(count):
            here, there = _context.Pipe()
            process = _context.Process(
                target=_serve, args=(there, make, number, told), daemon=True, name=f"{number}"
            )
            process.start()
            there.close()
            self._ends.append(here)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            if kind is not None:
                process.terminate()
            process.join(STOP_TIMEOUT_S)
            if process.exitcode is None:
                process.kill()
                process.join()

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    def do(self, method: str, tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Let workers call `method` with the arguments of each task; give results in that order.

        A result is given as soon as those before it are; tasks are taken as workers are free.

        Raises:
            WorkerError: a worker failed or died.
        """
        todo = iter(tasks)
        running: dict[Connection, int] = {}
        done: dict[int, tuple[bool, Any]] = {}
        idle = list(self._ends)
        handed_out = given = 0
        exhausted = False
        while True:
            while idle and not exhausted:
                task = next(todo, None)
                if task is None:
                    exhausted = True
                    break
                end = idle.pop()
                self._send(end, (method, task))
                running[end] = handed_out
                handed_out += 1
            while given in done:
                succeeded, result = done.pop(given)
                if not succeeded:
                    raise WorkerError(result)
                yield result
                given += 1
            if not running:
                return
            for ready in [end for end in wait(list(running)) if isinstance(end, Connection)]:
                done[running.pop(ready)] = self._receive(ready)
                idle.append(ready)

    def _send(self, end: Connection, message: Any) -> None:
        try:
            end.send(message)
        except OSError:
            raise self._lost(end) from None

    def _receive(self, end: Connection) -> tuple[bool, Any]:
        try:
            answer: tuple[bool, Any] = end.recv()
            return answer
        except (EOFError, OSError):
            raise self._lost(end) from None

    def _lost(self, end: Connection) -> WorkerError:
        process = self._processes[self._ends.index(end)]
        process.join(STOP_TIMEOUT_S)
        return WorkerError(
            f"worker process {process.pid} is gone (exit code {process.exitcode}; -9 is often the "
            "kernel's, for want of memory: try fewer --processes)"
        )


def _serve(
    end: Connection,
    make: Callable[[int], AbstractContextManager[Any]],
    number: int,
    told: tuple[type[Exception], ...],
) -> None:
    # Ctrl-C reaches the whole group; whoever started us says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with make(number) as worker:
        while True:
            try:
                method, task = end.recv()
            except (EOFError, OSError):
                return
            try:
                answer = True, getattr(worker, method)(*task)
            except told as error:
                answer = False, str(error)
            except Exception:  # told to whoever handed it out
                answer = False, traceback.format_exc()
            try:
                end.send(answer)
            except OSError:
                return
