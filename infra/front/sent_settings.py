"""Which settings of a client are applied, which do nothing, and which are refused.

Applied is what changes how an answer looks or lowers a limit. What would widen what a statement
may do is refused with a word; every other setting that ClickHouse knows is ignored, since tools
send many. Nothing here can lift that statements only read: the engine is set to that last.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from leadstream.infra.front.faults import (
    BAD_ARGUMENTS,
    SETTING_CONSTRAINT_VIOLATION,
    UNKNOWN_SETTING,
    FrontError,
)

MAX_WHOLE_ANSWER_BYTES: Final = 512 * 1024 * 1024

# What the HTTP interface itself reads from the URL, or what only steers how a server answers.
OF_THE_INTERFACE: Final = frozenset(
    """query database default_format user password query_id quota_key role session_id
    session_timeout session_check compress decompress wait_end_of_query buffer_size stacktrace
    client_protocol_version enable_http_compression http_zlib_compression_level
    add_http_cors_header""".split()
)

LIMITS: Final = {"max_execution_time": 60, "max_memory_usage": 4_000_000_000}
"""Most that each of these is, seconds and bytes; a client may only lower it."""

_LOOKS: Final = re.compile(
    r"output_format_(?!schema|template)\w+|date_time_output_format|bool_(true|false)_representation"
    r"|format_csv_delimiter|format_csv_null_representation|format_tsv_null_representation"
)
_APPLIED: Final = frozenset(
    """max_result_rows max_result_bytes result_overflow_mode max_rows_to_read max_bytes_to_read
    read_overflow_mode limit offset join_use_nulls group_by_use_nulls
    union_default_mode prefer_column_name_to_alias transform_null_in session_timezone
    use_query_condition_cache aggregate_functions_null_for_empty final""".split()
)
_REFUSED: Final = re.compile(
    r"allow_(ddl|introspection_functions|get_client_http_header)"
    r"|(output_)?format_(schema|template)\w*"  # files, read or written
)
_BYTES: Final = re.compile(r"[0-9]{1,18}")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


def admitted(sent: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Return what the engine is told, beside its limits.

    Args:
        known: every setting that the engine knows.

    Raises:
        FrontError: a setting that there is not, one that is refused, a limit that is no number.
    """
    applied = {}
    for name, value in sent.items():
        if name in OF_THE_INTERFACE:
            continue
        if not _NAME.fullmatch(name) or name not in known:
            raise FrontError(UNKNOWN_SETTING, f"Unknown setting '{name[:100]}'.")
        if name == "readonly":
            if value not in ("1", "2"):
                raise _refusal(name, "statements only read here, so it is 1 or 2")
        elif _REFUSED.fullmatch(name):
            raise _refusal(name, "leave it out: it has no meaning here")
        elif name in LIMITS:
            applied[name] = str(_lowered(name, value))
        elif name == "max_result_bytes" and not _BYTES.fullmatch(value):
            raise FrontError(BAD_ARGUMENTS, f"setting {name} is a number.")
        elif name in _APPLIED or _LOOKS.fullmatch(name):
            applied[name] = value
    return applied


def _lowered(name: str, value: str) -> float:
    try:
        wanted = float(value)
    except ValueError:
        raise FrontError(BAD_ARGUMENTS, f"setting {name} is a number.") from None
    most = LIMITS[name]
    lowered = min(wanted, most) if wanted > 0 else most
    return int(lowered) if lowered == int(lowered) else lowered


def _refusal(name: str, mend: str) -> FrontError:
    return FrontError(SETTING_CONSTRAINT_VIOLATION, f"Setting {name} is refused: {mend}.")
