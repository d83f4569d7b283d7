"""`leadstream topics`: the topics on Kafka are what `topics.yaml` declares."""

from __future__ import annotations

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.topics import TopicsError, apply_topics, end_hanging, topic_states

_KAFKA = click.option("--kafka", metavar="HOST:PORT[,…]", help="Kafka brokers to use.")


@click.group(short_help="Create the topics on Kafka and keep their settings.")
def command() -> None:
    """Create the topics on Kafka and keep their settings."""


@command.command()
@_KAFKA
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    help="Partitions of each topic; cannot be changed later. Default: as the existing topics, "
    "else topics.yaml.",
)
@click.option(
    "--replication-factor",
    type=click.IntRange(min=1),
    help="Copies of each partition. Default: topics.yaml, else the broker's.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_context
def apply(
    ctx: click.Context,
    kafka: str | None,
    partitions: int | None,
    replication_factor: int | None,
    dry_run: bool,
) -> None:
    """Create missing topics and alter differing configurations; safe to run again."""
    settings = settings_of(ctx, kafka_bootstrap=kafka)
    try:
        changes = apply_topics(settings, partitions, replication_factor, dry_run)
    except TopicsError as error:
        raise UserError(str(error)) from None
    for change in changes:
        would = "would be " if dry_run and change.action != "kept" else ""
        click.echo(f"{change.name}: {would}{change.action}: {change.detail}")
    if not changes:
        click.echo("all topics are as declared; nothing was done")


@command.command()
@_KAFKA
@click.pass_context
def show(ctx: click.Context, kafka: str | None) -> None:
    """Show every topic as it is on the broker, and what differs from the declaration."""
    try:
        states = topic_states(settings_of(ctx, kafka_bootstrap=kafka))
    except TopicsError as error:
        raise UserError(str(error)) from None
    for state in states:
        if not state.partitions:
            click.echo(f"{state.name}: missing")
            continue
        configs = ", ".join(f"{key}={state.configs.get(key, '')}" for key in state.declared)
        click.echo(
            f"{state.name}: {state.partitions} partitions, {state.replication_factor} "
            f"cop{'y' if state.replication_factor == 1 else 'ies'}, {configs}"
        )
        for key, (actual, declared) in state.differing.items():
            click.echo(f"  differs: {key} is {actual}, declared {declared}")


@command.command("end-hanging")
@_KAFKA
@click.pass_context
def end_hanging_command(ctx: click.Context, kafka: str | None) -> None:
    """End our transactions that a killed broker left open, each as it had been decided."""
    try:
        ended = end_hanging(settings_of(ctx, kafka_bootstrap=kafka))
    except TopicsError as error:
        raise UserError(str(error)) from None
    for one in ended:
        how = "committed, as was acknowledged" if one.committed else "aborted"
        topic, partition = one.partition
        click.echo(f"{topic}-{partition} from offset {one.start_offset}: {how}")
    if not ended:
        click.echo("no transaction of ours hangs; nothing was done")
