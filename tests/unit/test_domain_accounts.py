"""Whose account a lead is: by the CRM, by a group, by its domain; and what says nothing."""

from __future__ import annotations

from itertools import permutations

import pytest
from small_models import happened, models

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.decisions import Membership
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.mail_domains import company_domain, is_free_mail
from leadstream.streams.domain.view import view

ACCOUNTS = 'version: "1"\naccounts: {}\n'


def account(versions: ModelSet, *events: LeadEvent, limits: Limits | None = None) -> str | None:
    """Return the account of a lead to which these happened, told one by one."""
    record = new_record("l")
    for event in events:
        absorb(record, [event], versions, limits or Limits())
    found = view(record, versions).account
    return None if found is None else found.id


def mails(at_days: float, address: str) -> LeadEvent:
    return happened(at_days, "form_submitted", email=address)


def crm(at_days: float, **attributes: str) -> LeadEvent:
    return happened(at_days, "lead_updated", attributes=attributes)


def group(at_days: float, group_id: str) -> LeadEvent:
    return happened(at_days, "group", properties={"group_id": group_id})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("x@mail.acme.co.uk", "domain:acme.co.uk"),
        (" X@ACME.com ", "domain:acme.com"),
        ("x@münchen.de", "domain:xn--mnchen-3ya.de"),
        ("x@xn--mnchen-3ya.de", "domain:xn--mnchen-3ya.de"),
        ("x@acme.com.", "domain:acme.com"),
        ("x@gmail.com", None),
        ("x@googlemail.com", None),
        ("x@gmx.de", None),
        ("x@mail.ru", None),
        ("x@tuta.io", None),
        ("x@mailinator.com", None),
        ("x@localhost", None),
        ("x@server.internal", None),
        ("x@[127.0.0.1]", None),
        ("x@co.uk", None),
        ("x@" + "a" * 300 + ".com", None),
        ("acme.com", None),
        ("x@", None),
        ("@", None),
        ("hmac:" + "0" * 64, None),
    ],
)
def test_an_address_tells_the_domain_that_a_company_registered(
    address: str, expected: str | None
) -> None:
    assert account(models(ACCOUNTS), mails(0, address)) == expected


def test_an_address_counts_wherever_an_event_states_it() -> None:
    versions = models(ACCOUNTS)
    assert account(versions, crm(0, email="x@acme.com")) == "domain:acme.com"
    form = happened(0, "form_submitted", properties={"email": "x@acme.com"})
    assert account(versions, form) == "domain:acme.com"
    both = happened(0, "form_submitted", email="x@gmail.com", properties={"email": "x@acme.com"})
    assert account(versions, both) == "domain:acme.com"


def test_the_domain_that_is_kept_of_a_hidden_address_counts() -> None:
    for keeps, expected in ((True, "domain:acme.co.uk"), (False, None)):
        hider = AddressHider("k" * 32, keep_domain=keeps)
        for event in (mails(0, "x@mail.acme.co.uk"), crm(0, email="x@mail.acme.co.uk")):
            stated = event.touchpoint or event.crm
            assert stated is not None
            hidden = hider.event(stated)
            is_crm = event.crm is not None
            told = happened(
                0,
                stated.type,
                **({"attributes": hidden.attributes} if is_crm else {  # type: ignore[union-attr]
                    "email": hidden.email, "properties": hidden.properties,  # type: ignore[union-attr]
                }),
            )  # fmt: skip
            assert account(models(ACCOUNTS), told) == expected


def test_the_crm_counts_before_a_group_and_a_group_before_the_domain_whenever_said() -> None:
    said = [crm(0, account_id="001A"), group(1, "g-7"), mails(2, "x@acme.com")]
    versions = models(ACCOUNTS)
    for order in permutations(said):
        assert account(versions, *order) == "crm:001A"
    assert account(versions, *said[1:]) == "group:g-7"
    assert account(versions, said[2]) == "domain:acme.com"


def test_the_latest_word_of_one_kind_counts_whatever_order_it_comes_in() -> None:
    said = [crm(0, account_id="A"), crm(2, account_id="C"), crm(1, account_id="B")]
    for order in permutations(said):
        assert account(models(ACCOUNTS), *order) == "crm:C"
    at_once = [
        happened(0, "lead_updated", event_id=event_id, attributes={"account_id": account_id})
        for event_id, account_id in (("1", "B"), ("2", "A"))
    ]
    for order in permutations(at_once):
        assert account(models(ACCOUNTS), *order) == "crm:B"


def test_a_word_that_comes_beyond_the_horizon_is_no_newer_for_it() -> None:
    limits = Limits(horizon_ms=0, tail_min_events=1, tail_max_events=2)
    events = [
        crm(10, account_id="new"),
        *(happened(11 + n / 100, "email_opened") for n in range(8)),
    ]
    late = crm(1, account_id="old")
    assert account(models(ACCOUNTS), *events, late, limits=limits) == "crm:new"


def test_an_empty_word_takes_the_account_away_and_a_broken_one_says_nothing() -> None:
    versions = models(ACCOUNTS)
    mail = mails(0, "x@acme.com")
    assert account(versions, mail, crm(1, account_id="A"), crm(2, account_id=" ")) == (
        "domain:acme.com"
    )
    assert account(versions, crm(1, account_id="A"), crm(2, account_id="null")) == "crm:A"


def test_a_private_address_beside_one_at_work_says_nothing() -> None:
    work, home = mails(0, "x@acme.com"), mails(1, "x@gmail.com")
    for order in permutations((work, home)):
        assert account(models(ACCOUNTS), *order) == "domain:acme.com"


def test_the_model_adds_and_removes_domains() -> None:
    own = models(
        """
version: "1"
accounts: {free_mail: ["@Portal.example.com", club.org], companies: sky.com}
"""
    )
    assert account(models(ACCOUNTS), mails(0, "x@sky.com")) is None
    assert account(own, mails(0, "x@sky.com")) == "domain:sky.com"
    assert account(own, mails(0, "x@club.org")) is None
    assert account(own, mails(0, "x@portal.example.com")) is None
    assert account(own, mails(0, "x@example.com")) == "domain:example.com"


def test_the_model_names_the_attribute_by_which_the_crm_speaks() -> None:
    own = 'version: "2"\nactive_from: 2026-03-04\naccounts: {attribute: associatedcompanyid}\n'
    versions = models('version: "1"\n', own)
    told = crm(0, associatedcompanyid="77", account_id="88")
    assert account(versions, told, happened(5, "page_viewed")) == "crm:77"


def test_without_the_section_there_is_no_account_and_nothing_is_kept() -> None:
    versions = models('version: "1"\n')
    record = new_record("l")
    absorb(record, [crm(0, account_id="A"), mails(1, "x@acme.com")], versions, Limits())
    assert view(record, versions).account is None
    assert record.head.account_words == {}


def test_a_version_that_has_accounts_knows_what_was_said_before_it() -> None:
    versions = models('version: "1"\n', 'version: "2"\nactive_from: 2026-03-04\naccounts: {}\n')
    said = [crm(0, account_id="A"), mails(0.5, "x@gmail.com")]
    assert account(versions, *said) is None
    assert account(versions, *said, happened(5, "page_viewed")) == "crm:A"


def test_a_domain_that_a_later_version_calls_free_is_no_account_any_more() -> None:
    versions = models(
        ACCOUNTS, 'version: "2"\nactive_from: 2026-03-04\naccounts: {free_mail: acme.com}\n'
    )
    assert account(versions, mails(0, "x@acme.com")) == "domain:acme.com"
    assert account(versions, mails(0, "x@acme.com"), happened(5, "page_viewed")) is None


def test_the_state_tells_the_personas_that_the_model_wants() -> None:
    versions = models(
        """
version: "1"
nurture: {personas: [{name: boss, when: 'attr("title") == "CEO"'}, {name: user, when: "true"}]}
accounts: {buying_group: [boss, user, boss]}
"""
    )
    record = new_record("l")
    absorb(record, [mails(0, "x@acme.com")], versions, Limits())
    assert view(record, versions).account == Membership(
        id="domain:acme.com", buying_group=["boss", "user"]
    )


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{buying_group: [boss]}", 'v1.yaml:2 buying_group: "boss" is no persona: the model has'),
        ("{companies: [co.uk]}", 'v1.yaml:2 companies: "co.uk" is no domain; write it as in acme'),
        ("{free_mail: [x.com], companies: [x.com]}", '"x.com" is under free_mail too'),
        ("{free: [x.com]}", 'unknown field "free"'),
    ],
)
def test_a_faulty_section_is_refused_with_its_place(section: str, fault: str) -> None:
    with pytest.raises(ModelError) as error:
        models(f'version: "1"\naccounts: {section}\n')
    assert fault in str(error.value)


def test_a_persona_that_nobody_defines_is_refused_with_the_nearest() -> None:
    with pytest.raises(ModelError, match='unknown persona "bos"; did you mean "boss"'):
        models(
            'version: "1"\nnurture: {personas: [{name: boss, when: "true"}]}\n'
            "accounts: {buying_group: bos}\n"
        )


def test_the_lists_are_those_of_companies_and_of_providers() -> None:
    for provider in ("gmail.com", "outlook.com", "yahoo.co.uk", "web.de", "qq.com", "icloud.com"):
        assert is_free_mail(provider, provider)
    for company in ("ibm.com", "siemens.com", "sap.com", "hubspot.com", "cern.ch"):
        assert not is_free_mail(company, company)
        assert company_domain(f"mail.{company}") == company
