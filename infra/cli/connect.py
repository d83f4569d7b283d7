"""`leadstream connect`: change feeds of other systems onto the input topics, exactly once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import settings_of
from leadstream.infra.ops.exits import exit_codes

log = logging.getLogger(__name__)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kafka", "kafka_bootstrap", metavar="HOST:PORT", help="Kafka brokers.")
@click.option(
    "--web-port",
    type=click.IntRange(0, 65535),
    help="Port of the web server; 0 for none. Without it the next free one from 6066 on.",
)
@click.option("--check", is_flag=True, help="Only read FILE and its mappings; tell every fault.")
@click.pass_context
def command(ctx: click.Context, /, file: Path, check: bool, **options: Any) -> None:
    """Read change feeds from Kafka topics, Salesforce's or Debezium's, until SIGTERM or Ctrl-C.

    FILE (YAML) names the sources: their topics, what writes them, and a mapping file for each
    entity. Events go to `touchpoints` and `crm-events`, in one transaction with how far the topics
    are read; what cannot be read goes to `sources.dlq`. Start more to share the work.
    """
    from leadstream.infra.ops.worker import run_worker
    from leadstream.infra.source_stores import ensure_stores
    from leadstream.infra.topics import TopicsError
    from leadstream.schemas.logs import set_up_logging
    from leadstream.schemas.registry import writer_schemas
    from leadstream.streams.app import create_app
    from leadstream.streams.ingest.errors import MappingError
    from leadstream.streams.sources.sources_file import load_sources
    from leadstream.streams.sources.stage import source_stages

    with exit_codes(MappingError, TopicsError):
        sources = load_sources(file)
        if check:
            for source in sources:
                spec = source.spec
                click.echo(f"{spec.name}: {', '.join(spec.mappings)} of {', '.join(spec.topics)}")
            return
        settings = settings_of(ctx, **options)
        set_up_logging(settings)
        stages = source_stages(settings, writer_schemas(settings), sources)
        for done in ensure_stores(settings, stages):
            log.info("%s", done)
        run_worker(create_app(settings, stages), settings)
