"""The file of sources: every fault with its line and its mend, and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from vendor_payloads import SOURCES

from leadstream.infra.cli import cli
from leadstream.infra.collect.sources_file import SourcesError, load_sources

SECRET = "correct-horse-battery"
GOOD = """\
sources:
  - name: website
    kind: segment
    write_keys: {variable: WEBSITE_KEY}
    rate: 50
  - name: crm
    kind: hubspot
    secrets: [{file: hubspot.secret}, {variable: OLD_HUBSPOT_SECRET}]
    ignore: ["deal.*"]
  - name: forms
    kind: webhook
    secrets: {variable: FORMS_SECRET}
    signature: {header: Typeform-Signature, encoding: base64, prefix: sha256=}
    mapping: mapping.yaml
"""


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBSITE_KEY", "OLD_HUBSPOT_SECRET", "FORMS_SECRET"):
        monkeypatch.setenv(name, f"{SECRET}-{name}")
    (tmp_path / "hubspot.secret").write_text(f"{SECRET}-new\n")
    mapping = (SOURCES / "typeform" / "mapping.yaml").read_text("utf-8")
    (tmp_path / "mapping.yaml").write_text(mapping)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(text, "utf-8")
    return path


def faults(tmp_path: Path, text: str) -> list[str]:
    path = write(tmp_path, text)
    with pytest.raises(SourcesError) as caught:
        load_sources(path)
    assert SECRET not in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_sources_of_every_kind_are_loaded_with_their_secrets(tmp_path: Path) -> None:
    loaded = load_sources(write(tmp_path, GOOD))
    (segment,), (hubspot,), (webhook,) = loaded.segment, loaded.hubspot, loaded.webhook
    assert (segment.spec.rate, segment.spec.burst_events) == (50, 250)
    assert [s.get_secret_value() for s in hubspot.secrets] == [
        f"{SECRET}-new",
        f"{SECRET}-OLD_HUBSPOT_SECRET",
    ]
    assert webhook.mapping.name == "typeform"
    assert len(loaded.secrets()) == 4
    assert SECRET not in repr(loaded)


def test_a_key_in_the_file_itself_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = f"sources:\n  - name: a\n    kind: segment\n    write_keys: [{SECRET}]\n"
    assert faults(tmp_path, text) == [
        "sources.yaml:4:18 a secret never stands in this file: write {variable: NAME} or "
        "{file: PATH}"
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("kind: segmnt", '3:5 unknown kind "segmnt"; did you mean "segment"?'),
        ("rate: 0", '2:5 key "kind" is missing: one of segment, hubspot, webhook'),
        ("kind: segment\n    rat: 5", '4:5 unknown key "rat"; did you mean "rate"?'),
        ("kind: segment\n    lead_id: everybody", "lead_id names no {field}"),
        (
            "kind: hubspot\n    secrets: {variable: X}\n    lead_id: '{dealId}'",
            "neither {objectId}",
        ),
        ("kind: hubspot\n    secrets: {variable: X}\n    url: example.com", "url: "),
        ("kind: webhook\n    secrets: {}", "4:5 give exactly one of variable, file"),
        (
            "kind: webhook\n    signature: {header: X, signed: '{timestamp}'}",
            "{body} stands in it once",
        ),
        (
            "kind: webhook\n    signature: {header: X, signed: '{timestamp}.{body}'}",
            "belong together",
        ),
        ("kind: webhook\n    signature: {header: X, signd: x}", 'did you mean "signed"?'),
        ("kind: webhook\n    signature: {header: X, encoding: hexx}", 'did you mean "hex"?'),
    ],
)
def test_a_fault_is_told_with_its_line_and_mend(tmp_path: Path, line: str, told: str) -> None:
    text = f"sources:\n  - name: a\n    {line}\n"
    lines = faults(tmp_path, text)
    assert any(told in said for said in lines), lines


def test_faults_of_what_a_source_names_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEBSITE_KEY")
    (tmp_path / "hubspot.secret").write_text("short")
    (tmp_path / "mapping.yaml").write_text("name: m\nevnts: []\n")
    found = faults(tmp_path, GOOD)
    assert found[0] == "sources.yaml:4:5 the variable WEBSITE_KEY is empty: put the secret there"
    assert found[1] == "sources.yaml:8:15 hubspot.secret: a secret has at least 8 characters"
    assert found[2] == "sources.yaml:14:5 mapping:"
    assert 'mapping.yaml:2:1 unknown key "evnts"; did you mean "events"?' in found


def test_two_sources_have_neither_one_name_nor_one_key(tmp_path: Path) -> None:
    text = GOOD + "  - {name: crm, kind: segment, write_keys: {variable: WEBSITE_KEY}}\n"
    assert faults(tmp_path, text) == [
        'sources.yaml:15:6 a second source is named "crm": names must differ',
        'sources.yaml:15:32 "website" has the same write key',
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "sources: [\n", "sources: []\n", "source: []\n"])
def test_a_file_without_sources_is_refused(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)[0].startswith("sources.yaml:")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match="cannot read sources"):
        load_sources(tmp_path / "gone.yaml")


def test_the_command_checks_a_file_and_ends(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    result = CliRunner().invoke(cli, ["collect", str(path), "--check"])
    assert (result.exit_code, result.stdout) == (
        0,
        f"{path}: 1 Segment, 1 HubSpot, 1 other webhooks\n",
    )
    path.write_text(GOOD.replace("kind: hubspot", "kind: hubpsot"))
    result = CliRunner().invoke(cli, ["collect", str(path), "--check"])
    assert result.exit_code == 78 and 'did you mean "hubspot"?' in result.output


def test_the_command_without_sources_says_what_to_name() -> None:
    result = CliRunner().invoke(cli, ["collect"])
    assert result.exit_code == 78 and "LEADSTREAM_COLLECT_SOURCES_FILE" in result.output
