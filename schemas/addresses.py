"""E-mail addresses as keyed hashes: HMAC-SHA-256 of the address in its one spelling.

Whoever has no key can neither read an address nor find one by trying, as of a plain hash. The same
address always gives the same text, so that a person is found, and is one person, by it. What is
hidden already stays as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final
from urllib.parse import unquote

import msgspec

from leadstream.schemas.events import CrmEvent, Touchpoint

HIDDEN: Final = re.compile(r"hmac:[0-9a-f]{64}")
EMAIL_FACT: Final = "email"
"""The property or attribute that holds an address; forms and CRMs send it there."""
DOMAIN_FACT: Final = "email_domain"
SALES: Final = frozenset({"owner", "actor"})
"""Fields that name our own people, whom a router must reach."""
_PREFIX: Final = "hmac:"
_AT: Final = re.compile(r"@|%(?:25)*40|\\u0040", re.IGNORECASE)
# Whole words, so that the time grows with the text only, whatever is in it.
_WORD: Final = re.compile(r"""[^\s<>"(),;:\[\]\\/?&=#|]+""")
_WORD_OF_BYTES: Final = re.compile(rb"""[^\x00-\x20<>"(),;:\[\]\\/?&=#|]+""")
_AT_IN_BYTES: Final = re.compile(rb"[^@]@[^@]|.%(?:25)*40.", re.DOTALL)
_ENDS: Final = ".'-*`!"
_UNQUOTED_MOST: Final = 3
FINGERPRINT_BYTES: Final = 8


def spelled(address: str) -> str:
    """Return an address as it is compared: without spaces around it, in lower case."""
    return address.strip().lower()


class AddressHider:
    """Hides addresses in events, texts and bytes.

    Attributes:
        fingerprint: tells the key from others, and nothing of it.
    """

    def __init__(self, key: str, keep_domain: bool = False) -> None:
        self._key = key.encode()
        self._keep_domain = keep_domain
        named = hmac.digest(self._key, b"leadstream email_key", hashlib.sha256)
        self.fingerprint = named[:FINGERPRINT_BYTES].hex()

    def address(self, address: str) -> str:
        """Return what stands for an address, or for whatever was given as one."""
        text = spelled(address)
        if not text or HIDDEN.fullmatch(text):
            return text
        return _PREFIX + hmac.digest(self._key, text.encode(), hashlib.sha256).hex()

    def text(self, text: str) -> str:
        """Return a text with each address in it hidden."""
        if not _AT.search(text):
            return text
        return _WORD.sub(self._hidden_word, _with_at(text))

    def _hidden_word(self, found: re.Match[str]) -> str:
        word = found[0]
        if "@" not in word:
            return word
        body = word.rstrip(_ENDS)
        start = len(body) - len(body.lstrip(_ENDS))
        local, _, domain = body[start:].partition("@")
        if not local or not domain:
            return word
        return word[:start] + self.address(unquote(body[start:])) + word[len(body) :]

    def data(self, data: bytes | None) -> bytes | None:
        """Return bytes with addresses hidden in JSON, and blanked, length for length, elsewhere.

        A blank is nobody's address, so what is read of such bytes one day joins nobody.
        """
        if not data:
            return data
        if data.lstrip()[:1] == b"{" or (data.isascii() and data.decode().isprintable()):
            return self.text(data.decode("utf-8", "surrogateescape")).encode(
                "utf-8", "surrogateescape"
            )
        return _WORD_OF_BYTES.sub(_blanked, data)

    def touchpoint(self, event: Touchpoint) -> Touchpoint:
        """Return a touchpoint without an address in the clear."""
        changed = self._texts(event)
        facts = self._facts(event.properties)
        if event.email is not None:
            changed["email"] = self.address(event.email) or None
            if self._keep_domain and DOMAIN_FACT not in facts:
                facts |= _domain_fact(event.email)
        if facts != event.properties:
            changed["properties"] = facts
        return msgspec.structs.replace(event, **changed) if changed else event

    def crm_event(self, event: CrmEvent) -> CrmEvent:
        """Return a CRM event without an address of the lead in the clear."""
        changed = self._texts(event)
        facts = self._facts(event.attributes)
        if facts != event.attributes:
            changed["attributes"] = facts
        return msgspec.structs.replace(event, **changed) if changed else event

    def event(self, event: Touchpoint | CrmEvent) -> Touchpoint | CrmEvent:
        """Return an event without an address of the lead in the clear."""
        return self.touchpoint(event) if isinstance(event, Touchpoint) else self.crm_event(event)

    def _texts(self, event: Touchpoint | CrmEvent) -> dict[str, object]:
        changed: dict[str, object] = {}
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if isinstance(value, str) and name not in SALES:
                hidden = self.text(value)
                if hidden != value:
                    changed[name] = hidden
        return changed

    def _facts(self, facts: dict[str, str]) -> dict[str, str]:
        hidden = {self.text(name): self.text(value) for name, value in facts.items()}
        if facts.get(EMAIL_FACT):
            hidden[EMAIL_FACT] = self.address(facts[EMAIL_FACT])
            if self._keep_domain:
                hidden = _domain_fact(facts[EMAIL_FACT]) | hidden
        return hidden


def _blanked(found: re.Match[bytes]) -> bytes:
    word = found[0]
    return b" " * len(word) if _AT_IN_BYTES.search(word) else word


def _with_at(text: str) -> str:
    """Return a text in which every word with an address is written with a plain @."""
    text = text.replace("\\u0040", "@")
    for _ in range(_UNQUOTED_MOST):
        if "%" not in text:
            break
        text = re.sub(r"%25(?=(?:25)*40)", "%", text)
        text = text.replace("%40", "@")
    return text


def _domain_fact(address: str) -> dict[str, str]:
    domain = spelled(address).rpartition("@")[2]
    return {DOMAIN_FACT: domain} if "@" in address and domain else {}
