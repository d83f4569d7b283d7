"""The worker's composition root: settings to stages, their engines, and the Faust app around them.

Faust brings the process: start and stop, signals and its command line. It touches no topic: the
stages' engines own their consumers and producers, so Faust's own stay off, and so does its web
server, which knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import faust
from faust.app.base import BootStrategy

from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.settings import Settings, SettingsError, load_settings
from leadstream.streams.engine.fail_stop import FailStop
from leadstream.streams.engine.processor import Stage
from leadstream.streams.engine.shared_turns import SharedTurns
from leadstream.streams.engine.stage_engine import StageEngine

STAGES = ("identify", "lifecycle")


class _NoKafka(BootStrategy):  # type: ignore[misc]  # faust is untyped
    """Starts none of Faust's own clients: no group, no leader topic, nothing on the broker."""

    enable_kafka = False


class LeadstreamApp(faust.App):  # type: ignore[misc]  # faust is untyped
    """A Faust app whose work is done by stage engines."""

    mundane_level = "debug"
    BootStrategy = _NoKafka
    engines: Sequence[StageEngine] = ()

    async def on_first_start(self) -> None:
        """Make no directories: Faust's are for tables, and there are none."""


def stages_of(settings: Settings, names: Sequence[str] = STAGES) -> list[Stage]:
    """Return the named stages, wired to their schemas and model."""
    from leadstream.schemas.registry import writer_schemas
    from leadstream.streams.identify.stage import IdentifyStage
    from leadstream.streams.lifecycle.stage import lifecycle_stage

    schemas = writer_schemas(settings)
    makers: dict[str, Callable[[], Stage]] = {
        "identify": lambda: IdentifyStage(settings, schemas),
        "lifecycle": lambda: lifecycle_stage(settings, schemas),
    }
    return [makers[name]() for name in names]


def create_app(settings: Settings, stages: Sequence[Stage]) -> LeadstreamApp:
    """Return the Faust app that runs `stages`; nothing is contacted before it starts."""
    from leadstream.streams.lifecycle.reload import ModelReloader
    from leadstream.streams.lifecycle.stage import LifecycleStage

    app = LeadstreamApp(
        f"{settings.topic_prefix}{settings.app_id}",
        broker=[f"kafka://{address.strip()}" for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        autodiscover=False,
        store="memory://",
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    fail_stop = FailStop(app.stop)
    shared = SharedTurns(settings, fail_stop, wall_clock_ms)
    app.engines = [StageEngine(app, settings, stage, fail_stop, shared=shared) for stage in stages]
    for stage, engine in zip(stages, app.engines, strict=True):
        app.service(engine)
        if isinstance(stage, LifecycleStage):
            app.service(ModelReloader(app, settings, stage))
    return app


def _credentials(settings: Settings) -> Any:
    options = aiokafka_options(settings)
    context = options.get("ssl_context")
    if settings.kafka_security.startswith("SASL"):
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def __getattr__(name: str) -> Any:
    """Build `app` when Faust's own command line asks for it: `faust -A leadstream.streams.app`."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        settings = load_settings()
        app = create_app(settings, stages_of(settings))
    except SettingsError as error:
        raise SystemExit(f"Error: {error}") from None
    globals()["app"] = app
    return app
