"""Who the synthetic leads are and where they come from: channels, companies, people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Channel:
    """A source of leads; `quality` multiplies their interest in buying, 1 is the average."""

    name: str | None
    share: float
    quality: float
    sources: tuple[str, ...]
    medium: str | None
    campaigns: tuple[str, ...] = ()


CHANNELS: Final = (
    Channel("organic_search", 0.25, 1.0, ("google", "google", "bing", "duckduckgo"), "organic"),
    Channel(
        "paid_search", 0.17, 0.85, ("google", "google", "bing"), "cpc",
        ("brand", "crm-alternatives", "lead-scoring", "generic-b2b"),
    ),
    Channel(
        "social", 0.13, 0.55, ("linkedin", "linkedin", "facebook", "youtube"), "social",
        ("thought-leadership", "founder-posts", "retargeting"),
    ),
    Channel(
        "email", 0.10, 0.9, ("newsletter", "partner-newsletter"), "email",
        ("monthly-digest", "benchmark-report", "spring-launch"),
    ),
    Channel(
        "referral", 0.08, 1.6, ("customer", "g2", "capterra"), "referral", ("customer-referral",)
    ),
    Channel("direct", 0.11, 1.1, ("direct",), None),
    Channel(
        "events", 0.06, 1.2, ("saas-summit", "revops-day"), "event",
        ("saas-summit-booth", "revops-day-talk"),
    ),
    Channel("partner", 0.04, 1.5, ("agency", "reseller"), "partner", ("agency-program",)),
    Channel(None, 0.06, 0.7, (), None),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one visit came from; everything may be untracked."""

    channel: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None


DIRECT: Final = Origin("direct", "direct")
NURTURE_EMAIL: Final = Origin("email", "nurture", "email", "nurture-drip")


def draw_channel(rng: Random) -> Channel:
    """Return a channel in proportion to the shares."""
    return rng.choices(CHANNELS, [channel.share for channel in CHANNELS])[0]


def draw_origin(rng: Random, channel: Channel) -> Origin:
    """Return one visit's origin within a channel."""
    return Origin(
        channel.name,
        rng.choice(channel.sources) if channel.sources else None,
        channel.medium,
        rng.choice(channel.campaigns) if channel.campaigns else None,
    )


_TITLES: Final = (
    ("Chief Marketing Officer", 5), ("VP Sales", 5), ("Founder", 5), ("Head of Growth", 5),
    ("Director of Demand Generation", 6), ("Sales Manager", 9), ("Marketing Manager", 16),
    ("RevOps Lead", 8), ("Solutions Architect", 4), ("Data Engineer", 8), ("Software Engineer", 8),
    ("Marketing Specialist", 12), ("Account Executive", 9),
)  # fmt: skip
_DECIDERS: Final = ("Chief", "VP", "Founder", "Head", "Director")
_RECOMMENDERS: Final = ("Manager", "Lead", "Architect")
_EMPLOYEES: Final = (
    ((1, 4), 16),
    ((5, 49), 34),
    ((50, 249), 27),
    ((250, 999), 13),
    ((1000, 20000), 10),
)
_INDUSTRIES: Final = (
    ("software", 24), ("retail", 11), ("manufacturing", 11), ("logistics", 7), ("finance", 12),
    ("healthcare", 10), ("education", 8), ("consulting", 10), ("hospitality", 7),
)  # fmt: skip
_TARGET_INDUSTRIES: Final = ("software", "retail", "manufacturing", "logistics")
_COUNTRIES: Final = (
    ("US", 34), ("GB", 11), ("DE", 12), ("FR", 7), ("NL", 5), ("CA", 6), ("BR", 8), ("IN", 8),
    ("PL", 4), ("AU", 5),
)  # fmt: skip
_FAR_COUNTRIES: Final = ("IN", "PL", "AU")
_CURRENCIES: Final = {"GB": "GBP", "DE": "EUR", "FR": "EUR", "NL": "EUR", "BR": "BRL", "PL": "EUR"}
_NAMES: Final = """alva amir ana ben carla chen dana elif emil fatima georg hana igor ines jonas
jun kofi lara leon maya mina nils noor olga omar paula priya rafael rosa sam sara tariq tomas
vera wei yara yusuf zoe""".split()
_FIRMS: Final = """acorn alder anvil basalt beacon birch cedar cobalt copper delta ember falcon
fjord granite harbor indigo juniper kestrel lantern maple nimbus onyx orchard pioneer quartz
raven saffron sierra summit tundra umber vector willow zephyr""".split()


@dataclass(frozen=True, slots=True)
class Profile:
    """A person at a company; `fit` is how well sales likes it, 0 to 50."""

    email: str
    title: str
    company: str
    employees: int
    industry: str
    country: str
    competitor: bool = False

    @property
    def currency(self) -> str:
        return _CURRENCIES.get(self.country, "USD")

    @property
    def fit(self) -> int:
        points = 20 if self.employees >= 1000 else 15 if self.employees >= 50 else 0
        points -= 10 if self.employees < 5 else 0
        points += 10 if self.industry in _TARGET_INDUSTRIES else 0
        points += 15 if self.title.startswith(_DECIDERS) else 0
        points += 8 if self.title.endswith(_RECOMMENDERS) else 0
        points += 0 if self.country in _FAR_COUNTRIES else 5
        return max(0, min(50, points))

    def person(self) -> dict[str, str]:
        """Return what people write into a form."""
        facts = {"title": self.title, "company": self.company, "country": self.country}
        return facts | ({"competitor": "true"} if self.competitor else {})

    def firm(self) -> dict[str, str]:
        """Return what an enrichment service adds in the CRM."""
        return {"employees": str(self.employees), "industry": self.industry}


def draw_profile(rng: Random, number: int, title: str | None = None) -> Profile:
    """Return a person; the number keeps e-mail addresses apart."""
    firm, person = rng.choice(_FIRMS), rng.choice(_NAMES)
    low, high = weighted(rng, _EMPLOYEES)
    return Profile(
        email=f"{person}.{number}@{firm}.example",
        title=title or weighted(rng, _TITLES),
        company=firm.capitalize(),
        employees=rng.randint(low, high),
        industry=weighted(rng, _INDUSTRIES),
        country=weighted(rng, _COUNTRIES),
    )


def weighted(rng: Random, choices: Sequence[tuple[T, float]]) -> T:
    """Return one of the values in proportion to their weights."""
    return rng.choices([value for value, _ in choices], [weight for _, weight in choices])[0]
