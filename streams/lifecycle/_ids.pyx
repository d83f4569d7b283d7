# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False
"""The compiled twin of what `ids.py` does with regular expressions; its bytes are the same."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcmp, memcpy

cdef enum:
    TEXT_BYTES = 38  # msgpack's mark and length before 36 characters
    ID_BYTES = 16
    MOST = 255
    MARK = 0xC1
    ITSELF = 0xFF

cdef const char *DIGITS = "0123456789abcdef"


cdef inline int digit_of(unsigned char c) noexcept:
    if 0x30 <= c <= 0x39:
        return c - 0x30
    if 0x61 <= c <= 0x66:
        return c - 0x57
    return -1


cdef inline bint is_dash_at(int place) noexcept:
    return place == 8 or place == 13 or place == 18 or place == 23


cdef bint read_id(const unsigned char *text, unsigned char *found) noexcept:
    """Read 36 characters; say whether they are a UUID as we write it."""
    cdef int place = 0, count = 0, high, low
    while place < 36:
        if is_dash_at(place):
            if text[place] != 0x2D:
                return False
            place += 1
            continue
        high = digit_of(text[place])
        low = digit_of(text[place + 1])
        if high < 0 or low < 0:
            return False
        found[count] = <unsigned char>(high << 4 | low)
        count += 1
        place += 2
    return True


cdef void write_id(const unsigned char *one, unsigned char *text) noexcept:
    cdef int place = 0, count = 0
    while place < 36:
        if is_dash_at(place):
            text[place] = 0x2D
            place += 1
            continue
        text[place] = <unsigned char>DIGITS[one[count] >> 4]
        text[place + 1] = <unsigned char>DIGITS[one[count] & 15]
        count += 1
        place += 2


def take_out(bytes data not None):
    """Return the ids, and the bytes without them; see `ids.py`."""
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef const unsigned char *end = at + PyBytes_GET_SIZE(data)
    cdef unsigned char ids[MOST * ID_BYTES]
    cdef unsigned char one[ID_BYTES]
    cdef int count = 0, number
    # A mark takes two bytes for one.
    cdef unsigned char *body = <unsigned char *>PyMem_Malloc(2 * PyBytes_GET_SIZE(data) + 1)
    cdef unsigned char *to = body
    if body is NULL:
        raise MemoryError
    try:
        while at < end:
            if at[0] == MARK:
                to[0] = MARK
                to[1] = ITSELF
                to += 2
                at += 1
                continue
            if (
                at[0] == 0xD9
                and end - at >= TEXT_BYTES
                and at[1] == 36
                and read_id(at + 2, one)
            ):
                number = 0
                while number < count and memcmp(ids + number * ID_BYTES, one, ID_BYTES) != 0:
                    number += 1
                if number == count and count < MOST:
                    memcpy(ids + count * ID_BYTES, one, ID_BYTES)
                    count += 1
                if number < count:
                    to[0] = MARK
                    to[1] = <unsigned char>number
                    to += 2
                else:
                    memcpy(to, at, TEXT_BYTES)
                    to += TEXT_BYTES
                at += TEXT_BYTES
                continue
            to[0] = at[0]
            to += 1
            at += 1
        return (
            PyBytes_FromStringAndSize(<char *>ids, count * ID_BYTES),
            PyBytes_FromStringAndSize(<char *>body, to - body),
        )
    finally:
        PyMem_Free(body)


def put_back(bytes ids not None, bytes body not None):
    """Return the bytes from which the ids were taken out."""
    cdef const unsigned char *table = <const unsigned char *>PyBytes_AS_STRING(ids)
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef const unsigned char *end = at + PyBytes_GET_SIZE(body)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(ids) // ID_BYTES
    cdef Py_ssize_t size = 0
    cdef bytes data
    cdef unsigned char *to
    while at < end:
        if at[0] != MARK:
            size += 1
            at += 1
            continue
        if end - at < 2 or (at[1] != ITSELF and at[1] >= count):
            raise ValueError("a mark without its id")
        size += 1 if at[1] == ITSELF else TEXT_BYTES
        at += 2
    data = PyBytes_FromStringAndSize(NULL, size)
    to = <unsigned char *>PyBytes_AS_STRING(data)
    at = <const unsigned char *>PyBytes_AS_STRING(body)
    while at < end:
        if at[0] != MARK:
            to[0] = at[0]
            to += 1
            at += 1
            continue
        if at[1] == ITSELF:
            to[0] = MARK
            to += 1
        else:
            to[0] = 0xD9
            to[1] = 36
            write_id(table + at[1] * ID_BYTES, to + 2)
            to += TEXT_BYTES
        at += 2
    return data
