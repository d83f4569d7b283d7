"""What a file of sources may say, as frozen models: each description is its documentation."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from leadstream.streams.collect.hubspot import LEAD_ID_FIELDS
from leadstream.streams.ingest.mapping import template_columns

SIGNED_PARTS: Final = ("method", "url", "timestamp", "body")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SecretPlace(_Part):
    """Where a secret is; it never stands in the file itself."""

    variable: str | None = Field(None, description="A variable of the environment.")
    file: Path | None = Field(None, description="A file, relative to this one.")

    @model_validator(mode="after")
    def _one_place(self) -> SecretPlace:
        if (self.variable is None) == (self.file is None):
            raise ValueError("give exactly one of variable, file")
        return self


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    # Not by a length in the schema: of a list whose items are at fault it would tell that as well.
    if not value:
        raise ValueError("nothing is listed: give at least one")
    return value


SecretPlaces = Annotated[tuple[SecretPlace, ...], BeforeValidator(_listed), AfterValidator(_some)]


class Source(_Part):
    """What every source has."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Names the source in paths, metrics and logs.",
    )
    rate: float = Field(1000, gt=0, description="Events a second that a key may send for long.")
    burst: int | None = Field(
        None, ge=1, description="Events that it may send at once; default: five seconds of `rate`."
    )

    @property
    def burst_events(self) -> float:
        return self.burst if self.burst is not None else max(1.0, 5 * self.rate)


class SegmentSource(Source):
    """Clients that speak Segment's tracking protocol."""

    kind: Literal["segment"]
    write_keys: SecretPlaces = Field(
        description="The write keys; several while they are exchanged."
    )
    events: Path | None = Field(
        None, description="File of event names, over the shipped one; relative to this one."
    )
    lead_id: str = Field(
        "{userId}", description="Template of the lead id, over fields of the message."
    )

    @field_validator("lead_id")
    @classmethod
    def _check_template(cls, value: str) -> str:
        if not template_columns(value):
            raise ValueError("lead_id names no {field}: all people would be one lead")
        return value


class HubspotSource(Source):
    """HubSpot's webhooks."""

    kind: Literal["hubspot"]
    secrets: SecretPlaces = Field(
        description="The app's client secret; several while it is exchanged."
    )
    url: str | None = Field(
        None,
        pattern=r"^https?://[^?#]+$",
        description="The target URL as HubSpot has it, where a proxy changes it; default: https, "
        "the Host header and the path.",
    )
    properties: Path | None = Field(
        None, description="File of property rules, over the shipped one; relative to this one."
    )
    lead_id: str = Field(
        "hubspot-{objectId}", description="Template of the lead id: {objectId}, {portalId}."
    )
    ignore: tuple[str, ...] = Field(
        (), description="Subscription types of which nothing is kept, e.g. deal.*."
    )

    @field_validator("lead_id")
    @classmethod
    def _check_template(cls, value: str) -> str:
        columns = template_columns(value)
        unknown = [column for column in columns if column not in LEAD_ID_FIELDS]
        if unknown:
            raise ValueError(f"lead_id: {{{unknown[0]}}} is neither {{objectId}} nor {{portalId}}")
        if "objectId" not in columns:
            raise ValueError("lead_id needs {objectId}: all contacts would be one lead")
        return value


class Signature(_Part):
    """How a webhook is signed: an HMAC over a text, in a header."""

    header: str = Field(
        pattern=r"^[A-Za-z0-9-]+$", description="The header that holds the signature."
    )
    algorithm: Literal["sha256", "sha512", "sha1"] = Field("sha256", description="Of the HMAC.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How it is written.")
    prefix: str = Field("", description="What stands before it, e.g. sha256=.")
    signed: str = Field(
        "{body}", description="What is signed: of {method}, {url}, {timestamp} and {body}."
    )
    timestamp_header: str | None = Field(
        None, description="The header that holds the time, epoch seconds or milliseconds."
    )
    max_age_s: float = Field(300, gt=0, description="An older request is refused, seconds.")

    @field_validator("signed")
    @classmethod
    def _check_parts(cls, value: str) -> str:
        try:
            parts = [name for _, name, spec, _ in Formatter().parse(value) if name is not None]
        except ValueError as error:
            raise ValueError(f"signed: {error}") from None
        unknown = [part for part in parts if part not in SIGNED_PARTS]
        if unknown:
            raise ValueError(f"signed: {{{unknown[0]}}} is none of {', '.join(SIGNED_PARTS)}")
        if parts.count("body") != 1:
            raise ValueError("signed: {body} stands in it once, or anybody could change it")
        return value

    @model_validator(mode="after")
    def _check_timestamp(self) -> Signature:
        if (self.timestamp_header is None) == ("{timestamp}" in self.signed):
            raise ValueError("timestamp_header and {timestamp} in signed belong together")
        return self


class WebhookSource(Source):
    """A signed webhook of anybody, with a mapping file."""

    kind: Literal["webhook"]
    secrets: SecretPlaces = Field(description="The signing secret; several while it is exchanged.")
    signature: Signature = Field(description="How requests are signed.")
    url: str | None = Field(
        None,
        pattern=r"^https?://[^?#]+$",
        description="The URL as the sender has it, where it is signed and a proxy changes it.",
    )
    mapping: Path = Field(description="Mapping file as of `ingest`, relative to this one.")
    items: str | None = Field(
        None, description="Where the objects are, e.g. data.events; default: the body."
    )


AnySource = Annotated[SegmentSource | HubspotSource | WebhookSource, Field(discriminator="kind")]


class Sources(_Part):
    """The whole file."""

    sources: Annotated[tuple[AnySource, ...], AfterValidator(_some)] = Field(
        description="Who may send."
    )
