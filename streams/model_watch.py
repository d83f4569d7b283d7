"""New versions of the model for a running worker: sound ones are taken, others refused and told.

What a version decided stays decided. So a version that judges already may neither change nor go,
and one that comes must become active in the future: else a running worker, a restarted one and a
replay would give three answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from leadstream.schemas.events import EpochMs
from leadstream.streams.domain.compiled import CompiledModel, ModelSet
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.models import line_of_field, parse_model_files, read_model_files

log = logging.getLogger(__name__)


class ModelWatch:
    """Looks at a model path again and again; what was refused is told once per change."""

    def __init__(self, path: Path, running: ModelSet) -> None:
        self._path = path
        self._running = running
        self._seen: dict[str, str] | str | None = None

    def poll(self, now: EpochMs) -> ModelSet | None:
        """Return the versions to go on with, or None where the running ones stay; never raises.

        Args:
            now: what has become active before it can no longer change.
        """
        try:
            texts = read_model_files(self._path)
        except (ModelError, OSError) as error:
            told = str(error)
            if told != self._seen:
                self._seen = told
                self._refuse(error if isinstance(error, ModelError) else ModelError([told]))
            return None
        if texts == self._seen:
            return None
        first_look, self._seen = self._seen is None, texts
        try:
            models = parse_model_files(texts)
            found = ModelSet(list(models.values()))
            check_succession(self._running, found, now, _Places(models, texts))
        except ModelError as error:
            self._refuse(error)
            return None
        except Exception as error:
            # Whatever a file makes the parsers raise, the running versions are sound.
            self._refuse(ModelError([f"{self._path}: {type(error).__name__}: {error}"]))
            return None
        if _sources(found) == _sources(self._running):
            if not first_look:
                log.info("models at %s are those that run", self._path)
            return None
        self._running = found
        log.info("models at %s taken: %s", self._path, ", ".join(map(_told, found.versions)))
        return found

    def _refuse(self, error: ModelError) -> None:
        log.error(
            "models at %s refused, the running versions stay (%s): %s",
            self._path,
            ", ".join(model.version for model in self._running.versions),
            "; ".join(error.faults),
        )


class _Places:
    """Where a version's field stands: file and line."""

    def __init__(self, models: Mapping[str, CompiledModel], texts: Mapping[str, str]) -> None:
        self._files = {model.version: name for name, model in models.items()}
        self._texts = texts

    def __call__(self, version: str, field: str) -> str:
        file = self._files[version]
        return f"{file}:{line_of_field(self._texts[file], field)}"


def check_succession(
    running: ModelSet, found: ModelSet, now: EpochMs, place_of: Callable[[str, str], str]
) -> None:
    """Refuse versions that would change what was decided already.

    Args:
        place_of: gives file and line of a version's field.
    Raises:
        ModelError: names file, line, version and mend.
    """
    before = {model.version: model for model in running.versions}
    after = {model.version: model for model in found.versions}
    # Before the first activation, the first version judges.
    judging = {m.version for m in running.versions if m.active_from <= now}
    judging.add(running.versions[0].version)
    faults = [
        f'version "{version}" is gone, and it is active since {_since(before[version])}: put its '
        "file back, and give new versions files of their own in one directory"
        for version in before
        if version in judging and version not in after
    ]
    for version, model in after.items():
        old = before.get(version)
        if old is not None and old.source == model.source:
            continue
        if old is not None and version in judging:
            faults.append(
                f'{place_of(version, "version")} version "{version}" has changed, and it is '
                f"active since {_since(old)}: undo the change, and make it a version of its own "
                "with a later active_from"
            )
        elif model.active_from <= now or model is found.versions[0]:
            faults.append(
                f'{place_of(version, "active_from")} version "{version}" would be active '
                f"since {_since(model)}, which has passed: choose an active_from in the future, "
                "when every worker has the file"
            )
    if faults:
        raise ModelError(faults)


def _sources(models: ModelSet) -> list[object]:
    return [model.source for model in models.versions]


def _told(model: CompiledModel) -> str:
    return f"{model.version} from {_since(model)}"


def _since(model: CompiledModel) -> str:
    return model.source.active_from.isoformat().replace("+00:00", "Z")
