"""Who may do what on a ClickHouse server: two roles with their grants, and a user for each.

The writer inserts and erases, and changes no table; the analyst reads, within limits, what is in
the database and nothing outside. chDB has no users: there everything here does nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from importlib import resources
from typing import Final

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ACCESS_DENIED, ClickHouse, ClickHouseError, quoted

_SCRIPT: Final = "access/roles.sql"


class UsersError(Exception):
    """Users cannot be made; the message says why and the mend."""


def role_statements(database: str) -> list[str]:
    """Return what makes the roles and their grants; running it again changes nothing."""
    text = (resources.files("leadstream.sinks") / _SCRIPT).read_text("utf-8")
    for name in ("writer", "analyst"):
        text = text.replace(f"{{{name}}}", quoted(role_of(database, name)))
    return [
        part.strip()
        for part in text.replace("{database}", quoted(database)).split(";")
        if part.strip()
    ]


def role_of(database: str, name: str) -> str:
    """Return the name of the role `writer` or `analyst` of a database."""
    return f"{database}_{name}"


def make_roles(client: ClickHouse) -> bool:
    """Make the roles and their grants; False: our user may not, or the engine has no users.

    Raises:
        ClickHouseError: the server refuses a statement for another reason.
    """
    if not _may(client, "CREATE ROLE") or not _may(client, "CREATE SETTINGS PROFILE"):
        return False
    for statement in role_statements(client.database):
        client.command(statement)
    return True


def make_users(client: ClickHouse, settings: Settings) -> list[str]:
    """Make or change the users whose passwords are set, and return their names.

    Only a salted hash of a password is sent.

    Raises:
        UsersError: no password is set, or our user may not make users.
    """
    wanted = [
        (settings.clickhouse_writer_username, settings.clickhouse_writer_password, "writer"),
        (settings.clickhouse_analyst_username, settings.clickhouse_analyst_password, "analyst"),
    ]
    chosen = [(user, word.get_secret_value(), name) for user, word, name in wanted if word]
    if not chosen:
        raise UsersError(
            "no user to make: set clickhouse_writer_password or clickhouse_analyst_password"
        )
    if not make_roles(client) or not _may(client, "CREATE USER"):
        raise UsersError(
            f"{client.where}: the user {settings.clickhouse_username} may not make users and "
            "roles: run it as one who may (access_management), and not on chDB, which has no users"
        )
    for user, password, name in chosen:
        for statement in user_statements(user, password, role_of(client.database, name)):
            try:
                client.command(statement)
            except ClickHouseError as error:
                raise UsersError(f"user {user} was not made: {error}") from None
    return [user for user, _, _ in chosen]


def user_statements(user: str, password: str, role: str) -> Iterator[str]:
    """Yield what makes a user of one role, or gives an existing one this password and role."""
    salt = secrets.token_hex(16)
    digest = hashlib.sha256((password + salt).encode()).hexdigest()
    identified = f"IDENTIFIED WITH sha256_hash BY '{digest}' SALT '{salt}'"
    yield f"CREATE USER IF NOT EXISTS {quoted(user)} {identified}"
    yield f"ALTER USER {quoted(user)} {identified}"
    yield f"GRANT {quoted(role)} TO {quoted(user)}"
    yield f"ALTER USER {quoted(user)} DEFAULT ROLE {quoted(role)}"


def _may(client: ClickHouse, right: str) -> bool:
    try:
        return bool(client.query(f"CHECK GRANT {right} ON *.*").rows[0][0])
    except ClickHouseError as error:
        if error.code == ACCESS_DENIED:
            return False
        raise
