"""Takes e-mail addresses and the values of secret settings out of a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from leadstream.schemas.settings import Settings

EMAIL_MARK: Final = "[e-mail]"
SECRET_MARK: Final = "[secret]"  # noqa: S105  it is the mark, no secret

# Generous on purpose: a word too much is better than an address. The bounds keep it linear.
_NOT_IN_A_WORD = r"\s@<>\"(),:;\[\]\\"
_EMAIL = re.compile(
    rf"""(?:"[^"\n]{{1,256}}"|[^{_NOT_IN_A_WORD}]{{1,256}})(?:@|%40)"""
    rf"""(?:\[[^\]\s]{{1,256}}\]|[^{_NOT_IN_A_WORD}']{{1,256}})""",
    re.IGNORECASE,
)


class Redactor:
    """Redacts texts; made once, since the secrets of a process do not change."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms_of(secret)}
        # The longest first: one secret may begin another.
        ordered = sorted(forms, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, settings: Settings, more: Iterable[str] = ()) -> Redactor:
        """Return one that knows every secret of the settings, and more."""
        values = (getattr(settings, name) for name in Settings.model_fields)
        own = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        return cls([*own, *more])

    def text(self, text: str) -> str:
        """Return `text` with marks in place of secrets and addresses."""
        if self._secrets is not None:
            text = self._secrets.sub(SECRET_MARK, text)
        if "@" in text or "%40" in text:
            text = _EMAIL.sub(EMAIL_MARK, text)
        return text

    def value(self, value: Any) -> Any:
        """Return a value with all its texts redacted; what is no JSON becomes its text."""
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return self.text(str(value))


def _forms_of(secret: str) -> set[str]:
    """Return how a secret may look in a log: as it is, or quoted for a URL, by repr, by JSON."""
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        repr(secret.encode())[2:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
