"""Bounds chDB's one user to the grants of a role, as the shipped statements say them.

chDB keeps no users and roles of its own making; but its engine enforces what a configuration file
grants. So each GRANT, REVOKE and profile is taken, word by word, from what a server would be told.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape

from leadstream.sinks.users import role_of, role_statements

_GRANT = re.compile(r"(GRANT|REVOKE) .* (?:TO|FROM) `(\w+)`$", re.DOTALL)
_PROFILE = re.compile(
    r"CREATE SETTINGS PROFILE OR REPLACE `(\w+)` SETTINGS(.*)TO `\w+`$", re.DOTALL
)
_SETTING = re.compile(r"(\w+) = (\d+)(?: MIN (\d+))?(?: MAX (\d+))?( READONLY)?\s*(?:,|$)")


def configuration(directory: Path, database: str, role: str) -> Path:
    """Write a configuration in which the engine's user has what `role` has, and nothing else."""
    name = role_of(database, role)
    statements = role_statements(database)
    grants = [
        re.sub(r" (?:TO|FROM) `\w+`$", "", statement)
        for statement in statements
        if (found := _GRANT.match(statement)) and found[2] == name
    ]
    assert grants, f"no grants for {name}"
    profile = "".join(
        _profile(found[2])
        for statement in statements
        if (found := _PROFILE.match(statement)) and found[1] == name
    )
    path = directory / f"{role}.xml"
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    path.write_text(
        "<clickhouse><users><default><password></password><networks><ip>::/0</ip></networks>"
        "<profile>default</profile><quota>default</quota>"
        f"<grants>{queries}</grants></default></users>"
        f"<profiles><default>{profile}</default></profiles>"
        "<quotas><default></default></quotas>"
        f"<user_directories><users_xml><path>{path}</path></users_xml></user_directories>"
        "</clickhouse>"
    )
    return path


def _profile(settings: str) -> str:
    values, constraints = "", ""
    for name, value, least, most, fixed in _SETTING.findall(settings):
        values += f"<{name}>{value}</{name}>"
        bounds = "<readonly/>" if fixed else ""
        bounds += f"<min>{least}</min>" if least else ""
        bounds += f"<max>{most}</max>" if most else ""
        constraints += f"<{name}>{bounds}</{name}>"
    return f"{values}<constraints>{constraints}</constraints>"
