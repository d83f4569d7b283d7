"""A bad model is refused with the file, the line, the rule and the mend."""

from pathlib import Path

import pytest

from leadstream.streams.domain.errors import ModelError
from leadstream.streams.models import load_models, parse_model

SOUND = """\
version: "1"
fit:
  grades: {A: 30, B: 20}
  rules:
    - {name: big, points: 10, when: 'number("employees") >= 100'}
engagement:
  groups: {web: 10}
  rules:
    - name: pricing_page
      group: web
      on: page_viewed
      points: 10
      when: 'event.category == "pricing"'
      cap: {points: 20, per: 1d}
      decay: {half_life_days: 14}
criteria:
  mql:
    - {name: asks, hand_raise: true, on: demo_requested}
    - {name: score, when: 'fit.grade <= "B"', threshold: 60, disarm: 45}
nurture:
  buyer_stages: {awareness: [blog]}
sla:
  calendar:
    timezone: Europe/Berlin
    hours: {mon: ["09:00-12:00", "13:00-17:00"]}
  policies:
    - {name: first, start: mql, target: {default: 2h}, met_by: sales_activity_logged}
reason_wordings:
  "Not now": not_ready
"""

FAULTS = [
    ("event.category ==", "event.catagory ==",
     'm.yaml:13 rule "pricing_page": when: column 6: unknown name "event.catagory"; '
     'did you mean "event.category"?'),
    ("      group: web", "      gruop: web",
     'm.yaml:10 rule "pricing_page": unknown field "gruop"; did you mean "group"?'),
    ("      group: web", "      group: wob",
     'm.yaml:10 rule "pricing_page": group: unknown group "wob"; known are web'),
    ("      points: 10", "      points: ten",
     'm.yaml:12 rule "pricing_page": engagement.rules.0.points: Input should be a valid number, '
     "unable to parse string as a number"),
    ("      points: 10\n", "", 'm.yaml:9 rule "pricing_page": "points" is missing'),
    ("per: 1d", "per: 1 fortnight",
     'm.yaml:14 rule "pricing_page": engagement.rules.0.cap.per: "1 fortnight" is no duration; '
     "write a number and s, m, h, d, w or y, e.g. 2h"),
    ("{half_life_days: 14}", "{half_life_days: 14, points_per_day: 1}",
     'm.yaml:15 rule "pricing_page": engagement.rules.0.decay: give half_life_days, '
     "points_per_day, points or percent, one of them"),
    ("{half_life_days: 14}", "{half_life_days: 0}",
     'm.yaml:15 rule "pricing_page": engagement.rules.0.decay.half_life_days: Input should be '
     "greater than 0"),
    ("{half_life_days: 14}", "{percent: 25}",
     'm.yaml:15 rule "pricing_page": engagement.rules.0.decay: points and percent need a period, '
     "the others none: per: 30d"),
    ("      on: page_viewed", "      on: page_vewed",
     'm.yaml:11 rule "pricing_page": on: unknown event type "page_vewed"; did you mean '
     '"page_viewed"? (types of your own are named in event_types)'),
    ("'fit.grade <= \"B\"'", "'seen(\"demo_request\")'",
     'm.yaml:19 criterion "score": when: seen(): unknown event type "demo_request"; did you mean '
     '"demo_requested"?'),
    ("'fit.grade <= \"B\"'", "'points(\"pricing_pages\") > 5'",
     'm.yaml:19 criterion "score": when: points(): unknown rule "pricing_pages"; did you mean '
     '"pricing_page"?'),
    ("  mql:\n", "  engaged: [{name: e, when: 'score.total > 5', disarm: 3}]\n  mql:\n",
     'm.yaml:17 criterion "e": disarm: needs a threshold above it'),
    ("{web: 10}", "{web: -1}",
     "m.yaml:7 engagement.groups.web: Input should be greater than or equal to 0"),
    ("disarm: 45", "disarm: 60",
     'm.yaml:19 criterion "score": criteria.mql.1: criterion "score": disarm must lie below '
     "threshold"),
    ("on: demo_requested}", "points: 3}",
     'm.yaml:18 criterion "asks": unknown field "points"; known are name, when, on, hand_raise, '
     "score, threshold, disarm"),
    (", on: demo_requested}", "}",
     'm.yaml:18 criterion "asks": criteria.mql.0: criterion "asks" has no "when", "on" or '
     '"threshold"'),
    ("{name: score, when", "{name: asks, when",
     'm.yaml:19 criterion "asks": name: "asks" is there twice; give each its own name'),
    ("'fit.grade <= \"B\"'", "'fit.grade'",
     'm.yaml:19 criterion "score": when: gives string, not true or false; compare it with '
     "something"),
    ("{A: 30, B: 20}", "{A: 30, B: 40}",
     "m.yaml:3 fit.grades: a better grade needs a higher lowest score: A > B > C > D"),
    ("{A: 30, B: 20}", "{A: 30, E: 20}", 'm.yaml:3 fit.grades: grade "E" is none of A, B, C, D'),
    ("awareness:", "curiosity:",
     'm.yaml:21 curiosity: unknown buyer\'s stage "curiosity"; known are awareness, '
     "consideration, decision"),
    ("Europe/Berlin", "Europe/Berlln",
     'm.yaml:24 sla.calendar.timezone: "Europe/Berlln" is no time zone; did you mean '
     '"Europe/Berlin"?'),
    ("13:00-17:00", "17:00-13:00",
     'm.yaml:25 sla.calendar.hours.mon: working hours "17:00-13:00" end before they start'),
    ("13:00-17:00", "11:00-17:00",
     "m.yaml:25 sla.calendar.hours.mon: working hours ['09:00-12:00', '11:00-17:00'] overlap"),
    ("13:00-17:00", "13:00-17:75",
     'm.yaml:25 sla.calendar.hours.mon: "13:00-17:75" are no working hours; write 09:00-17:00'),
    ("{mon: [", "{moon: [",
     'm.yaml:25 sla.calendar.hours: "moon" is no weekday; write one of mon, tue, wed, thu, fri, '
     "sat, sun"),
    ("start: mql", "start: mqll",
     'm.yaml:27 policy "first": start: no stage "mqll"; did you mean "mql"?'),
    ("{default: 2h}", "{default: 2h}, from_stage: engagd",
     'm.yaml:27 policy "first": from_stage: no stage "engagd"; did you mean "engaged"?'),
    ("{default: 2h}", "{default: 2h}, cause: handraise",
     'm.yaml:27 policy "first": cause: no cause "handraise"; did you mean "hand_raise"?'),
    ("{default: 2h}", "{default: 2h}, when: 'lead.persna == \"boss\"'",
     'm.yaml:27 policy "first": when: column 5: unknown name "lead.persna"; did you mean '
     '"lead.persona"?'),
    ("{default: 2h}", "{default: 2h}, when: 'event.channel == \"event.type\"'",
     'm.yaml:27 policy "first": when: reads "event.channel"; a policy may read the lead, not an '
     "event"),
    ("{default: 2h}", "{default: 2h}, calendar: berlin",
     'm.yaml:27 policy "first": calendar: no calendar "berlin"; known are none'),
    ("sales_activity_logged}", "sales_activity_loged}",
     'm.yaml:27 policy "first": met_by: unknown event type "sales_activity_loged"; did you mean '
     '"sales_activity_logged"?'),
    (", met_by: sales_activity_logged}", "}",
     'm.yaml:27 policy "first": sla.policies.0: policy "first" is met by nothing; give met_by or '
     "met_at"),
    ("    timezone:", "    country: Deutschland\n    timezone:",
     'm.yaml:23 sla.calendar: no holidays of country "Deutschland"; write its ISO code, e.g. DE'),
    ("    timezone:", "    country: DE\n    subdivision: XX\n    timezone:",
     'm.yaml:23 sla.calendar: DE has no subdivision "XX"; known are BB, BE, BW'),
    ("sla:\n", "leaks:\n  untouched_at_deadline: frst\nsla:\n",
     'm.yaml:23 untouched_at_deadline: no policy "frst"; did you mean "first"?'),
    ("sla:\n", "leaks:\n  languishing: {sall: 2d}\nsla:\n",
     'm.yaml:23 sall: no stage "sall"; did you mean "sal"?'),
    ("{default: 2h}", "{A: 2h}",
     'm.yaml:27 policy "first": sla.policies.0.target: target needs a "default" for grades that '
     "are not named"),
    ("{default: 2h}", "{default: 2h, Z: 1h}",
     'm.yaml:27 policy "first": Z: no grade "Z"; A to D, F or default'),
    ("{default: 2h}", "{default: 0s}",
     'm.yaml:27 policy "first": default: must be more than nothing'),
    ("{default: 2h}", "{default: 5y}",
     'm.yaml:27 policy "first": default: is more than a year of working hours'),
    ("not_ready", "not_redy",
     'm.yaml:28 reason_wordings: "Not now" means unknown reason "not_redy"; did you mean '
     '"not_ready"?'),
    ('version: "1"\n', "", 'm.yaml:1 "version" is missing'),
]  # fmt: skip


def faults_of(text: str) -> list[str]:
    with pytest.raises(ModelError) as refused:
        parse_model(text, "m.yaml")
    return refused.value.faults


def test_the_model_that_the_faults_are_put_into_is_sound() -> None:
    assert parse_model(SOUND, "m.yaml").version == "1"


@pytest.mark.parametrize(("sound", "broken", "message"), FAULTS)
def test_a_fault_is_named_with_its_place_and_mend(sound: str, broken: str, message: str) -> None:
    assert sound in SOUND
    faults = faults_of(SOUND.replace(sound, broken, 1))
    assert len(faults) == 1
    assert faults[0].startswith(message)


def test_all_faults_are_told_at_once() -> None:
    text = SOUND.replace("event.category ==", "event.catagory ==").replace("start: mql", "start: x")
    assert len(faults_of(text)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: [", "m.yaml:1 not YAML: "),
        ("a: 1\na: 2\n", "m.yaml:2 not YAML: while constructing a mapping found duplicate key"),
        ("- 1\n", "m.yaml:1 a model is a mapping that begins with `version:`"),
        ("", "m.yaml:1 a model is a mapping that begins with `version:`"),
    ],
)
def test_what_is_no_model_at_all_is_said_to_be_none(text: str, message: str) -> None:
    assert faults_of(text)[0].startswith(message)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing, folder, binary = tmp_path / "no.yaml", tmp_path / "empty", tmp_path / "b.yaml"
    folder.mkdir()
    binary.write_bytes(b"\xff\xfe\x00")
    for path, message in [
        (missing, "no such model file or directory"),
        (folder, "no *.yaml in this directory"),
        (binary, "cannot be read"),
    ]:
        with pytest.raises(ModelError) as refused:
            load_models(path)
        assert str(path) in str(refused.value)
        assert message in str(refused.value)


def test_a_directory_holds_versions_and_their_time_decides(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: new\nactive_from: 2026-06-01T00:00:00Z\n", "utf-8")
    (tmp_path / "b.yml").write_text("version: old\n", "utf-8")
    versions = load_models(tmp_path)
    june = 1_780_272_000_000
    assert [versions.at(t).version for t in (0, june - 1, june)] == ["old", "old", "new"]


def test_before_the_first_version_the_first_decides(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: only\nactive_from: 2026-06-01\n", "utf-8")
    assert load_models(tmp_path).at(0).version == "only"


def test_a_version_may_be_there_once(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("version: same\n", "utf-8")
    with pytest.raises(ModelError, match='version "same" is in more than one file'):
        load_models(tmp_path)


def test_the_shipped_model_is_sound() -> None:
    assert load_models(None).versions[0].version
