"""`leadstream schemas`: are the contracts kept, and are they where others look for them."""

from __future__ import annotations

from pathlib import Path

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.schemas.compatibility import transitive_faults
from leadstream.schemas.topics import SCHEMA_OF
from leadstream.schemas.versions import NAMES, SchemaFileError, Version, versions_of


@click.group(short_help="Check the Avro contracts and register them.")
def command() -> None:
    """Check the Avro contracts and register them."""


@command.command()
@click.option(
    "--against",
    metavar="DIR|registry",
    help="Another release's schemas/avro directory, or the registry of the settings "
    "(which is asked anyway where one is set).",
)
@click.pass_context
def check(ctx: click.Context, against: str | None) -> None:
    """Check that all versions of every schema can read each other."""
    settings = settings_of(ctx)
    folder = Path(against) if against and against != "registry" else None
    if folder and not any((folder / f"{name}.avsc").is_file() for name in NAMES):
        raise UserError(f"{folder}: holds none of {', '.join(f'{n}.avsc' for n in NAMES)}")
    try:
        versions = {name: versions_of(name) for name in NAMES}
        if folder:
            _add(versions, [other for name in NAMES for other in _labelled(name, folder)])
    except SchemaFileError as error:
        raise UserError(str(error)) from None
    if against == "registry" or settings.schema_registry_url:
        from leadstream.schemas.registry import Registry

        registry = Registry(settings)
        _add(versions, [other for topic in SCHEMA_OF for other in registry.versions_on(topic)])
    faults = [fault for name in NAMES for fault in transitive_faults(versions[name])]
    if faults:
        raise UserError("\n".join(faults))
    for name in NAMES:
        labels = ", ".join(version.label for version in versions[name])
        click.echo(f"{name}: every version reads every other ({labels})")


@command.command()
@click.pass_context
def register(ctx: click.Context) -> None:
    """Register the schema of every topic, with full-transitive compatibility."""
    from leadstream.schemas.registry import COMPATIBILITY, Registry

    for done in Registry(settings_of(ctx)).register():
        state = "registered" if done.new else "was there already"
        click.echo(f"{done.subject}: {done.schema}, id {done.schema_id}, {state}")
    click.echo(f"compatibility of each subject: {COMPATIBILITY}")


def _labelled(name: str, folder: Path) -> list[Version]:
    return [Version(name, f"{folder}/{v.label}", v.schema) for v in versions_of(name, folder)]


def _add(versions: dict[str, list[Version]], others: list[Version]) -> None:
    """Put the others before ours, as older ones, where their schema is not there yet."""
    for other in reversed(others):
        if all(other.schema != known.schema for known in versions[other.name]):
            versions[other.name].insert(0, other)
