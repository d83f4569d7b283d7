"""The marketing channel of a touch, from what a link or a browser says of its origin."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

PAGES_REMEMBERED: Final = 4096
"""URLs that are taken apart once only: a site has few, and its visitors many."""

# The usual words of utm_medium, as web analytics group them.
_OF_MEDIUM: Final = {
    "email": "email e-mail e_mail newsletter",
    "paid_search": "cpc ppc sem paidsearch paid-search paid_search",
    "paid_social": "paidsocial paid-social paid_social cpc-social",
    "display": "display banner cpm interstitial",
    "social": "social social-network social-media social_media sm",
    "affiliate": "affiliate affiliates",
    "partner": "partner partners",
    "referral": "referral link app",
    "organic_search": "organic organic-search organic_search",
    "event": "event webinar",
}
_CHANNEL: Final = {word: channel for channel, words in _OF_MEDIUM.items() for word in words.split()}
_SEARCH: Final = re.compile(
    r"(^|\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex|qwant|startpage)\.[a-z.]+$"
)


def channel_of(medium: str | None, url: str | None, referrer: str | None) -> str | None:
    """Return the channel that a touch came by; None where nothing tells.

    Args:
        url, referrer: the page, and what led to it; an empty referrer was looked for and not
            found, None was not looked for.
    """
    if medium:
        folded = medium.strip().lower()
        return _CHANNEL.get(folded, folded)
    if referrer is None:
        return None
    if not referrer:
        return "direct"
    host, own = _host(referrer), _host(url or "")
    if not host or host == own:
        return None  # within the site: how the visit began was said by its first page
    return "organic_search" if _SEARCH.search(host) else "referral"


@lru_cache(PAGES_REMEMBERED)
def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""
