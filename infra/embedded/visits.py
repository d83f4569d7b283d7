"""What synthetic leads do by themselves: visits, downloads, e-mails, webinars, hand-raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from leadstream.infra.embedded.diary import DAY, HOUR, MINUTE, Diary, awake
from leadstream.infra.embedded.market import (
    NURTURE_EMAIL,
    Channel,
    Origin,
    Profile,
    draw_origin,
    weighted,
)

_EARLY_PAGES: Final = (("blog", 50), ("product", 27), ("guide", 15), ("pricing", 4), ("careers", 1))
_LATE_PAGES: Final = (
    ("product", 34), ("pricing", 20), ("case_study", 16), ("integration", 14), ("comparison", 9),
    ("security", 7),
)  # fmt: skip
_ASSETS: Final = {
    "guide": ("lead-scoring-guide", "revops-playbook", "mql-definition-kit"),
    "blog": ("state-of-b2b-report", "benchmarks"),
    "case_study": ("acme-story", "northwind-story"),
    "comparison": ("us-vs-spreadsheets", "buyers-checklist"),
}
_WEBINARS: Final = ("scoring-in-practice", "sales-and-marketing-slas", "product-tour")
_HAND_RAISES: Final = (
    ("demo_requested", 42), ("contact_sales_requested", 27), ("trial_started", 19),
    ("call_inbound", 7), ("meeting_booked", 5),
)  # fmt: skip
_MILESTONES: Final = ("data_connected", "first_report", "teammate_invited")
_WARMTH_HALF_LIFE_DAYS: Final = 21
_UNKNOWN_TYPES: Final = ("quiz_completed", "podcast_played")


@dataclass(slots=True)
class Person:
    """A lead on its way: who it is, how keen (0 to 1), and how far it has come."""

    diary: Diary
    profile: Profile
    channel: Channel
    interest: float
    end: int
    in_crm: bool = False
    firm_known: bool = False
    downloads: int = 0
    saw_pricing: bool = False
    warmth: float = 0.0
    warm_at: int = 0

    def is_ready(self) -> bool:
        """Say whether marketing would hand the lead over."""
        fit = self.profile.fit if self.firm_known else max(0, self.profile.fit - 15)
        studied = self.downloads >= 3 and self.saw_pricing and fit >= 10
        return not self.profile.competitor and (studied or (fit >= 22 and fit + self.warmth >= 58))

    def start_over(self) -> None:
        """Forget what was counted, as a recycled lead's score does."""
        self.downloads, self.saw_pricing, self.warmth = 0, False, 0.0

    def warm(self, at: int, points: float) -> None:
        age_days = max(0, at - self.warm_at) / DAY
        self.warmth = self.warmth * 2 ** (-age_days / _WARMTH_HALF_LIFE_DAYS) + points
        self.warm_at = at


def arrive_unknown(person: Person, at: int, origin: Origin) -> int:
    """Visit before anybody knows who it is, then identify; return when that was done."""
    rng = person.diary.rng
    for _ in range(rng.randint(1, 3)):
        page = weighted(rng, _EARLY_PAGES)
        person.diary.touch(at, "page_viewed", origin, anonymous=True, category=page, url=f"/{page}")
        at += rng.randint(MINUTE, 2 * DAY)
    person.diary.touch(at, "identify", origin, properties={"title": person.profile.title})
    return at + MINUTE


def submit_form(person: Person, at: int, origin: Origin, asset: str) -> None:
    """Leave name and address; about half of the forms also ask for the company."""
    rng = person.diary.rng
    facts = person.profile.person()
    if not person.firm_known and rng.random() < 0.5:
        facts |= person.profile.firm()
        person.firm_known = True
    person.diary.touch(at, "form_submitted", origin, asset=asset, properties=facts)
    person.warm(at, 5)
    if not person.in_crm:
        create_in_crm(person, at + rng.randint(1, 20) * MINUTE)


def create_in_crm(person: Person, at: int) -> None:
    """Let marketing automation create the CRM's record, and mostly enrich it."""
    person.in_crm = True
    person.diary.crm(at, "lead_created", actor="automation")
    if not person.firm_known and person.diary.rng.random() < 0.6:
        person.diary.crm(
            at + MINUTE, "lead_updated", actor="enrichment", attributes=person.profile.firm()
        )
        person.firm_known = True


def visit(person: Person, at: int, origin: Origin, depth: float) -> int:
    """Browse, and perhaps download something; return when the visit ended.

    Args:
        depth: 0 looks around, 1 compares vendors.
    """
    rng, diary = person.diary.rng, person.diary
    if origin.medium == "cpc":
        diary.touch(at, "ad_clicked", origin, term="lead management")
        person.warm(at, 3)
        at += rng.randint(2, 20) * 1000
    for _ in range(1 + min(6, int(rng.expovariate(1 / 1.1)))):
        page = weighted(rng, _LATE_PAGES if rng.random() < depth else _EARLY_PAGES)
        diary.touch(at, "page_viewed", origin, category=page, url=f"/{page}")
        person.warm(at, 11 if page == "pricing" else 1)
        person.saw_pricing |= page == "pricing"
        at += rng.randint(15_000, 4 * MINUTE)
    chance = rng.random()
    if chance < 0.22 + 0.35 * person.interest:
        category = weighted(
            rng,
            (("guide", 5), ("blog", 3), ("case_study", 1 + 5 * depth), ("comparison", 4 * depth)),
        )
        asset = rng.choice(_ASSETS[category])
        if person.downloads == 0:
            submit_form(person, at, origin, asset)
        diary.touch(at + 5000, "content_downloaded", origin, category=category, asset=asset)
        person.downloads += 1
        person.warm(at, 8)
    elif chance > 0.98 and depth > 0.3:
        diary.touch(at, "chat_started", origin, category="product")
        person.warm(at, 8)
    elif chance > 0.972:
        diary.touch(at, rng.choice(_UNKNOWN_TYPES), origin)
    return at + MINUTE


def attend_webinar(person: Person, at: int, origin: Origin) -> int:
    """Register for a webinar, and perhaps attend it; return when it was over."""
    rng, title = person.diary.rng, person.diary.rng.choice(_WEBINARS)
    person.diary.touch(
        at, "webinar_registered", origin, asset=title, category="webinar",
        properties=person.profile.person(),
    )  # fmt: skip
    person.warm(at, 5)
    at += rng.randint(2, 10) * DAY
    if rng.random() < 0.45:
        person.diary.touch(at, "webinar_attended", origin, asset=title, category="webinar")
        person.warm(at, 12)
    return at + HOUR


def receive_emails(person: Person, at: int, until: int, every_days: int, most: int) -> None:
    """Get the nurture mails; the keen open and click them, a few unsubscribe."""
    rng, diary = person.diary.rng, person.diary
    for number in range(1, most + 1):
        at += rng.randint(every_days - 1, every_days + 2) * DAY
        if at >= until:
            return
        if number == 1 and rng.random() < 0.02:
            diary.touch(at, "email_bounced", NURTURE_EMAIL)
            return
        diary.touch(at, "email_delivered", NURTURE_EMAIL, content=f"drip-{number}")
        if rng.random() < 0.2 + 0.35 * person.interest:
            opened = at + rng.randint(5, 1500) * MINUTE
            diary.touch(opened, "email_opened", NURTURE_EMAIL, content=f"drip-{number}")
            if rng.random() < 0.12 + 0.3 * person.interest:
                diary.touch(
                    opened + MINUTE, "email_clicked", NURTURE_EMAIL, content=f"drip-{number}"
                )
                person.warm(opened, 4)
        if rng.random() < 0.008:
            diary.touch(at + HOUR, "email_unsubscribed", NURTURE_EMAIL)
            return


def raise_hand(person: Person, at: int, origin: Origin) -> int:
    """Ask for sales; return when."""
    rng, diary = person.diary.rng, person.diary
    kind = weighted(rng, _HAND_RAISES)
    facts = person.profile.person()
    if kind in ("demo_requested", "contact_sales_requested", "trial_started"):
        facts |= person.profile.firm()
        person.firm_known = True
    diary.touch(at, kind, origin, category="pricing", properties=facts)
    if kind == "trial_started":
        for milestone in _MILESTONES[: rng.randint(0, 3)]:
            after = at + rng.randint(1, 9 * 24) * HOUR
            diary.touch(after, "product_milestone", origin, asset=milestone)
    if not person.in_crm:
        create_in_crm(person, at + rng.randint(1, 10) * MINUTE)
    return at


def research(person: Person, at: int) -> int | None:
    """Come back as long as it is interesting; return when sales should take over, if ever."""
    rng = person.diary.rng
    visits = 0
    while at < person.end:
        depth = min(1.0, person.interest * 0.7 + visits * 0.08)
        origin = draw_origin(rng, person.channel)
        if visits and rng.random() < 0.07:
            at = attend_webinar(person, at, origin)
        else:
            at = visit(person, at, origin, depth)
        visits += 1
        if rng.random() < 0.012 + 0.1 * depth * person.interest:
            return raise_hand(person, at, origin)
        if person.is_ready():
            if not person.in_crm:
                create_in_crm(person, at)
            return at
        if rng.random() > 0.5 + 0.42 * person.interest:
            receive_emails(person, at, person.end, every_days=7, most=rng.randint(1, 6))
            return None
        at = max(at + HOUR, awake(rng, at + int(rng.expovariate(1 / (4.5 * DAY)))))
    return None
