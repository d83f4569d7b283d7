"""What is refused and what fails, said as ClickHouse says it: a code, a status and a line."""

from __future__ import annotations

from typing import Final

STD_EXCEPTION: Final = 1001
NO_SUCH_FORMAT: Final = 73
NOT_IMPLEMENTED: Final = 48
BAD_ARGUMENTS: Final = 36
QUERY_IS_TOO_LARGE: Final = 1002
UNKNOWN_SETTING: Final = 115
READONLY: Final = 164
TOO_MANY_QUERIES: Final = 202
REQUIRED_PASSWORD: Final = 194
AUTHENTICATION_FAILED: Final = 516
UNKNOWN_DATABASE: Final = 81
SETTING_CONSTRAINT_VIOLATION: Final = 452
UNKNOWN_COMPRESSION: Final = 89
SYNTAX_ERROR: Final = 62

# Source: ClickHouse's exceptionCodeToHTTPStatus.cpp; every other code is a 500. A statement that
# may not run is a 403 here: no client tries that again.
_STATUS: Final = (
    dict.fromkeys((194,), 401)
    | dict.fromkeys((164, 192, 193, 452, 497, 516), 403)
    | dict.fromkeys((46, 47, 50, 56, 60, 73, 81, 115), 404)
    | dict.fromkeys((27, 33, 36, 38, 41, 53, 62, 69, 72, 117), 400)
    | {48: 501, 202: 503, 209: 503, 1002: 413}
)
_NAMES: Final = {
    NO_SUCH_FORMAT: "UNKNOWN_FORMAT",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    READONLY: "READONLY",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    REQUIRED_PASSWORD: "REQUIRED_PASSWORD",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    UNKNOWN_DATABASE: "UNKNOWN_DATABASE",
    SETTING_CONSTRAINT_VIOLATION: "SETTING_CONSTRAINT_VIOLATION",
    UNKNOWN_COMPRESSION: "UNKNOWN_COMPRESSION_METHOD",
    SYNTAX_ERROR: "SYNTAX_ERROR",
}


class FrontError(Exception):
    """What a client is told; `code` is ClickHouse's, `status` HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message} ({_NAMES[code]})")
        self.code = code

    @property
    def status(self) -> int:
        return _STATUS.get(self.code, 500)


class EngineError(FrontError):
    """What the engine said, in its own words, which begin with the code."""

    def __init__(self, code: int | None, said: str) -> None:
        self.code = code or STD_EXCEPTION
        Exception.__init__(self, said if code else f"Code: {STD_EXCEPTION}. DB::Exception: {said}")
