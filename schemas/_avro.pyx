# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False
"""Avro bytes to and from msgspec structs, for the one way of writing that we write ourselves.

Whatever else there is (a longer form of the same number, a map in several blocks, a value out of
its range, damage) is left to the caller's other path, so that it alone decides about faults.
Memory stays below some multiple of the input: no length is believed beyond the bytes that are left.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from decimal import Decimal as _Decimal

cdef extern from "Python.h":
    """
    #define ls_member_offset(d) (((PyMemberDescrObject *)(d))->d_member->offset)
    #define ls_member_is_object(d) \
        (Py_IS_TYPE((d), &PyMemberDescr_Type) \
         && ((PyMemberDescrObject *)(d))->d_member->type == T_OBJECT_EX)
    #define ls_basicsize(t) (((PyTypeObject *)(t))->tp_basicsize)
    #define ls_is_gc(t) PyType_IS_GC((PyTypeObject *)(t))
    #define ls_alloc(t) (((PyTypeObject *)(t))->tp_alloc((PyTypeObject *)(t), 0))
    """
    Py_ssize_t ls_member_offset(object descriptor)
    bint ls_member_is_object(object descriptor)
    Py_ssize_t ls_basicsize(object struct_type)
    bint ls_is_gc(object struct_type)
    object ls_alloc(object struct_type)
    void PyObject_GC_Track(PyObject *value)
    void PyObject_GC_UnTrack(PyObject *value)
    bint PyObject_GC_IsTracked(PyObject *value)
    bint PyObject_IS_GC(PyObject *value)
    object PyFloat_FromDouble(double value)
    double PyFloat_Unpack8(const char *data, int little) except? -1.0
    int PyFloat_Pack8(double value, char *data, int little) except -1
    bint PyFloat_CheckExact(object value)
    object PyLong_FromLongLong(long long value)
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    double PyLong_AsDouble(object value) except? -1.0
    bint PyLong_CheckExact(object value)
    bint PyUnicode_Check(object value)
    bint PyUnicode_IS_COMPACT_ASCII(object value)
    void *PyUnicode_DATA(object value)
    Py_ssize_t PyUnicode_GET_LENGTH(object value)
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t size, const char *errors)
    bytes PyUnicode_AsUTF8String(object value)
    bint PyDict_CheckExact(object value)
    bint PyList_CheckExact(object value)

cdef extern from "structmember.h":
    pass

cdef enum:
    MEMO_SLOTS = 256
    MEMO_MAX_CHARS = 32
    MEMO_CREDIT = 256
    VARINT_MAX_BYTES = 10


class UnusualError(ValueError):
    """Not bytes, or not a value, that this codec takes; the other path decides."""


class LayoutError(Exception):
    """This msgspec lays its structs out in a way that we do not know."""


cdef struct Input:
    const unsigned char *at
    const unsigned char *end


cdef inline int64_t read_long(Input *source) except? -1:
    cdef uint64_t value = 0
    cdef unsigned int shift = 0
    cdef unsigned char byte
    while True:
        if source.at == source.end:
            raise UnusualError
        byte = source.at[0]
        source.at += 1
        if shift == 63 and byte > 1:
            raise UnusualError
        value |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise UnusualError
            return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)
        shift += 7


cdef inline Py_ssize_t read_size(Input *source) except -1:
    """Return a count of things that take a byte each, or more; so it is bounded by what is left."""
    cdef int64_t size = read_long(source)
    if size < 0 or size > source.end - source.at:
        raise UnusualError
    return size


cdef class Output:
    """Bytes that grow; kept from record to record."""

    cdef unsigned char *data
    cdef Py_ssize_t size
    cdef Py_ssize_t room

    def __cinit__(self):
        self.room = 1024
        self.data = <unsigned char *>PyMem_Malloc(self.room)
        if self.data is NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t room = self.room
        cdef unsigned char *data
        if more <= room - self.size:
            return 0
        while room - self.size < more:
            room *= 2
        data = <unsigned char *>PyMem_Realloc(self.data, room)
        if data is NULL:
            raise MemoryError
        self.data = data
        self.room = room
        return 0

    cdef inline int put_byte(self, unsigned char byte) except -1:
        if self.size == self.room:
            self.reserve(1)
        self.data[self.size] = byte
        self.size += 1
        return 0

    cdef inline int put_long(self, int64_t value) except -1:
        cdef uint64_t rest = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
        if self.room - self.size < VARINT_MAX_BYTES:
            self.reserve(VARINT_MAX_BYTES)
        while rest > 0x7F:
            self.data[self.size] = <unsigned char>(rest & 0x7F) | 0x80
            self.size += 1
            rest >>= 7
        self.data[self.size] = <unsigned char>rest
        self.size += 1
        return 0

    cdef inline int put(self, const void *data, Py_ssize_t size) except -1:
        if size > self.room - self.size:
            self.reserve(size)
        memcpy(self.data + self.size, data, size)
        self.size += size
        return 0


cdef class AvroType:
    """How one Avro type is read and written."""

    cdef object read(self, Input *source):
        raise NotImplementedError

    cdef int write(self, object value, Output output) except -1:
        raise NotImplementedError


cdef inline uint64_t slot_of(const unsigned char *start, Py_ssize_t size) noexcept:
    """Return a place by the first, middle and last bytes."""
    cdef uint64_t first = 0, middle = 0, last = 0
    cdef Py_ssize_t i
    if size >= 8:
        memcpy(&first, start, 8)
        memcpy(&middle, start + (size >> 1) - 4, 8)
        memcpy(&last, start + size - 8, 8)
    else:
        for i in range(size):
            first = (first << 8) | start[i]
    first = (first ^ <uint64_t>size) * 0x9E3779B97F4A7C15ULL
    first ^= middle * 0xC2B2AE3D27D4EB4FULL
    first ^= last * 0x165667B19E3779F9ULL
    return (first >> 40) & (MEMO_SLOTS - 1)


cdef class Text(AvroType):
    """string; short ASCII values that come again and again are made once.

    A memo of 256 values a field, given up for good where values rarely repeat, as ids do.
    """

    cdef PyObject **memo
    cdef int credit

    def __cinit__(self):
        self.credit = MEMO_CREDIT
        self.memo = <PyObject **>PyMem_Calloc(MEMO_SLOTS, sizeof(PyObject *))
        if self.memo is NULL:
            raise MemoryError

    def __dealloc__(self):
        self.give_up()

    cdef void give_up(self):
        cdef int slot
        if self.memo is not NULL:
            for slot in range(MEMO_SLOTS):
                Py_XDECREF(self.memo[slot])
            PyMem_Free(self.memo)
            self.memo = NULL

    cdef object read(self, Input *source):
        cdef Py_ssize_t size = read_size(source)
        cdef const unsigned char *start = source.at
        source.at += size
        if self.memo is NULL or size > MEMO_MAX_CHARS:
            return PyUnicode_DecodeUTF8(<const char *>start, size, NULL)
        return self.remembered(start, size)

    cdef object remembered(self, const unsigned char *start, Py_ssize_t size):
        cdef PyObject **slot = self.memo + slot_of(start, size)
        cdef object value
        if slot[0] is not NULL:
            value = <object>slot[0]
            if PyUnicode_GET_LENGTH(value) == size and (
                memcmp(PyUnicode_DATA(value), start, size) == 0
            ):
                if self.credit < MEMO_CREDIT:
                    self.credit += 1
                return value
        value = PyUnicode_DecodeUTF8(<const char *>start, size, NULL)
        self.credit -= 1
        if self.credit == 0:
            self.give_up()
        elif PyUnicode_IS_COMPACT_ASCII(value):
            Py_XDECREF(slot[0])
            Py_INCREF(value)
            slot[0] = <PyObject *>value
        return value

    cdef int write(self, object value, Output output) except -1:
        cdef Py_ssize_t size
        cdef bytes encoded
        if not PyUnicode_Check(value):
            raise UnusualError
        # A member of a StrEnum, which every stage is, is a text too, if not a compact one.
        if PyUnicode_IS_COMPACT_ASCII(value):
            size = PyUnicode_GET_LENGTH(value)
            output.put_long(size)
            return output.put(PyUnicode_DATA(value), size)
        # Not PyUnicode_AsUTF8AndSize, which would keep the bytes with a text that lives on.
        encoded = PyUnicode_AsUTF8String(value)
        size = PyBytes_GET_SIZE(encoded)
        output.put_long(size)
        return output.put(PyBytes_AS_STRING(encoded), size)


cdef class Integer(AvroType):
    """int or long from `least` to `most`, both included."""

    cdef int64_t least
    cdef int64_t most
    cdef int64_t written_least
    cdef int64_t written_most

    def __init__(self, int64_t least, int64_t most, int bits):
        self.least = least
        self.most = most
        self.written_least = -(<int64_t>1 << (bits - 2)) * 2
        self.written_most = -(self.written_least + 1)

    cdef object read(self, Input *source):
        cdef int64_t value = read_long(source)
        if value < self.least or value > self.most:
            raise UnusualError
        return PyLong_FromLongLong(value)

    cdef int write(self, object value, Output output) except -1:
        cdef int overflow = 0
        cdef int64_t number
        if not PyLong_CheckExact(value):
            raise UnusualError
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow or number < self.written_least or number > self.written_most:
            raise UnusualError
        return output.put_long(number)


cdef class Double(AvroType):
    """double."""

    cdef object read(self, Input *source):
        cdef double value
        if source.end - source.at < 8:
            raise UnusualError
        value = PyFloat_Unpack8(<const char *>source.at, 1)
        source.at += 8
        return PyFloat_FromDouble(value)

    cdef int write(self, object value, Output output) except -1:
        cdef double number
        if PyFloat_CheckExact(value):
            number = PyFloat_AS_DOUBLE(value)
        elif PyLong_CheckExact(value):
            number = PyLong_AsDouble(value)
        else:
            raise UnusualError
        output.reserve(8)
        PyFloat_Pack8(number, <char *>output.data + output.size, 1)
        output.size += 8
        return 0


cdef class Boolean(AvroType):
    """boolean."""

    cdef object read(self, Input *source):
        cdef unsigned char byte
        if source.at == source.end:
            raise UnusualError
        byte = source.at[0]
        source.at += 1
        if byte > 1:
            raise UnusualError
        return byte == 1

    cdef int write(self, object value, Output output) except -1:
        if value is True:
            return output.put_byte(1)
        if value is False:
            return output.put_byte(0)
        raise UnusualError


cdef class Money(AvroType):
    """decimal in bytes, of a precision of 18 digits at most."""

    cdef int scale
    cdef int64_t limit
    cdef int precision

    def __init__(self, int precision, int scale):
        if not 0 <= scale <= precision <= 18:
            raise ValueError(f"a decimal of precision {precision} and scale {scale}")
        self.precision = precision
        self.scale = scale
        self.limit = <object>10 ** <object>precision

    @staticmethod
    cdef inline int width_of(int64_t value):
        """Return how many bytes fastavro takes: a power of two below zero takes one too many."""
        cdef uint64_t size = <uint64_t>(-value if value < 0 else value)
        cdef int bits = 0
        while size:
            bits += 1
            size >>= 1
        return (bits + 8) >> 3

    cdef object read(self, Input *source):
        cdef Py_ssize_t size = read_size(source)
        cdef uint64_t bits
        cdef int64_t value
        cdef Py_ssize_t i
        if size < 1 or size > 8:
            raise UnusualError
        bits = ~<uint64_t>0 if source.at[0] & 0x80 else 0
        for i in range(size):
            bits = (bits << 8) | source.at[i]
        value = <int64_t>bits
        if value <= -self.limit or value >= self.limit or size != Money.width_of(value):
            raise UnusualError
        source.at += size
        return _Decimal(f"{value}e-{self.scale}")

    cdef int write(self, object value, Output output) except -1:
        cdef int64_t number = 0
        cdef int zeros, width
        if type(value) is not _Decimal:
            raise UnusualError
        negative, digits, exponent = value.as_tuple()
        if type(exponent) is not int or not -self.scale <= exponent <= self.precision:
            raise UnusualError
        zeros = exponent + self.scale
        if len(digits) + zeros > self.precision:
            raise UnusualError
        for digit in digits:
            number = number * 10 + <int64_t>digit
        for _ in range(zeros):
            number *= 10
        if negative:
            number = -number
        width = Money.width_of(number)
        output.put_long(width)
        while width:
            width -= 1
            output.put_byte(<unsigned char>(number >> (8 * width)) & 0xFF)
        return 0


cdef class Nullable(AvroType):
    """A union of null, first, and one other type."""

    cdef AvroType inner

    def __init__(self, AvroType inner):
        self.inner = inner

    cdef object read(self, Input *source):
        cdef unsigned char branch
        if source.at == source.end:
            raise UnusualError
        branch = source.at[0]
        source.at += 1
        if branch == 0:
            return None
        if branch != 2:
            raise UnusualError
        return self.inner.read(source)

    cdef int write(self, object value, Output output) except -1:
        if value is None:
            return output.put_byte(0)
        output.put_byte(2)
        return self.inner.write(value, output)


cdef class Array(AvroType):
    """array, in one block; an item takes a byte at least."""

    cdef AvroType items

    def __init__(self, AvroType items):
        self.items = items

    cdef object read(self, Input *source):
        cdef Py_ssize_t count = read_size(source)
        cdef Py_ssize_t i
        cdef list values = []
        for i in range(count):
            values.append(self.items.read(source))
        if count and read_long(source) != 0:
            raise UnusualError
        return values

    cdef int write(self, object value, Output output) except -1:
        cdef Py_ssize_t i
        if not PyList_CheckExact(value):
            raise UnusualError
        if PyList_GET_SIZE(value):
            output.put_long(PyList_GET_SIZE(value))
            i = 0
            while i < PyList_GET_SIZE(value):
                self.items.write(<object>PyList_GET_ITEM(value, i), output)
                i += 1
        return output.put_byte(0)


cdef class Map(AvroType):
    """map, in one block."""

    cdef Text keys
    cdef AvroType values

    def __init__(self, AvroType values):
        self.keys = Text()
        self.values = values

    cdef object read(self, Input *source):
        cdef Py_ssize_t count = read_size(source)
        cdef Py_ssize_t i
        cdef dict found = {}
        for i in range(count):
            key = self.keys.read(source)
            PyDict_SetItem(found, key, self.values.read(source))
        if count and read_long(source) != 0:
            raise UnusualError
        return found

    cdef int write(self, object value, Output output) except -1:
        cdef Py_ssize_t position = 0
        cdef PyObject *key
        cdef PyObject *item
        if not PyDict_CheckExact(value):
            raise UnusualError
        if PyDict_Size(value):
            output.put_long(PyDict_Size(value))
            while PyDict_Next(value, &position, &key, &item):
                self.keys.write(<object>key, output)
                self.values.write(<object>item, output)
        return output.put_byte(0)


cdef class Record(AvroType):
    """record, as a struct whose fields are reached where the struct keeps them.

    Raises:
        LayoutError: they are not kept where its descriptors say.
    """

    cdef object struct_type
    cdef bint may_be_tracked
    cdef tuple types
    cdef Py_ssize_t count
    cdef PyObject **borrowed
    cdef Py_ssize_t *offsets

    def __cinit__(self, struct_type, names, types):
        self.count = len(names)
        self.borrowed = <PyObject **>PyMem_Calloc(self.count, sizeof(PyObject *))
        self.offsets = <Py_ssize_t *>PyMem_Calloc(self.count, sizeof(Py_ssize_t))
        if self.borrowed is NULL or self.offsets is NULL:
            raise MemoryError

    def __init__(self, struct_type, tuple names, tuple types):
        cdef Py_ssize_t i
        self.struct_type = struct_type
        self.types = types
        self.may_be_tracked = ls_is_gc(struct_type)
        for i in range(self.count):
            self.borrowed[i] = <PyObject *>(<AvroType?>types[i])
            self.offsets[i] = self.offset_of(names[i])
        self.check_layout(names)

    def __dealloc__(self):
        PyMem_Free(self.borrowed)
        PyMem_Free(self.offsets)

    cdef Py_ssize_t offset_of(self, str name) except -1:
        cdef Py_ssize_t offset
        descriptor = self.struct_type.__dict__.get(name)
        if descriptor is None or not ls_member_is_object(descriptor):
            raise LayoutError(f"{self.struct_type.__name__}.{name} is no slot")
        offset = ls_member_offset(descriptor)
        if offset % sizeof(PyObject *) or not (
            <Py_ssize_t>sizeof(PyObject)
            <= offset
            <= ls_basicsize(self.struct_type) - <Py_ssize_t>sizeof(PyObject *)
        ):
            raise LayoutError(f"{self.struct_type.__name__}.{name} is at {offset}")
        return offset

    cdef inline PyObject **slot(self, PyObject *struct, Py_ssize_t i) noexcept:
        return <PyObject **>(<char *>struct + self.offsets[i])

    cdef int check_layout(self, tuple names) except -1:
        """Compare what msgspec makes with what we make, field by field."""
        cdef Py_ssize_t i
        values = [object() for _ in names]
        made = self.struct_type(**dict(zip(names, values, strict=True)))
        ours = ls_alloc(self.struct_type)
        for i in range(self.count):
            if self.slot(<PyObject *>made, i)[0] is not <PyObject *>(<object>values[i]):
                raise LayoutError(f"{self.struct_type.__name__}.{names[i]} is kept elsewhere")
            Py_INCREF(values[i])
            self.slot(<PyObject *>ours, i)[0] = <PyObject *>(<object>values[i])
        if any(getattr(ours, names[i]) is not values[i] for i in range(len(names))):
            raise LayoutError(f"{self.struct_type.__name__} is not what its fields make it")
        return 0

    cdef object read(self, Input *source):
        cdef object made = ls_alloc(self.struct_type)
        cdef PyObject *struct = <PyObject *>made
        cdef Py_ssize_t i
        cdef bint tracked = False
        cdef object value
        # As msgspec does: what holds no container cannot be part of a cycle.
        if self.may_be_tracked:
            PyObject_GC_UnTrack(struct)
        for i in range(self.count):
            value = (<AvroType>self.borrowed[i]).read(source)
            if PyObject_IS_GC(<PyObject *>value) and PyObject_GC_IsTracked(<PyObject *>value):
                tracked = True
            Py_INCREF(value)
            self.slot(struct, i)[0] = <PyObject *>value
        if tracked and self.may_be_tracked:
            PyObject_GC_Track(struct)
        return made

    cdef int write(self, object value, Output output) except -1:
        cdef Py_ssize_t i
        cdef PyObject *field
        if type(value) is not self.struct_type:
            raise UnusualError
        for i in range(self.count):
            field = self.slot(<PyObject *>value, i)[0]
            if field is NULL:
                raise UnusualError
            (<AvroType>self.borrowed[i]).write(<object>field, output)
        return 0


cdef class Reader:
    """Reads whole records that one of the trusted headers says are of this schema."""

    cdef Record record
    cdef list headers

    def __init__(self, Record record):
        self.record = record
        self.headers = []

    def trust(self, bytes header not None):
        """Take records with this header from now on."""
        self.headers.append(header)

    def read(self, value):
        """Return the struct, or None where the header or the bytes are unusual."""
        cdef Input source
        cdef Py_ssize_t size
        cdef bytes header
        if type(value) is not bytes:
            return None
        for header in self.headers:
            size = PyBytes_GET_SIZE(header)
            if size <= PyBytes_GET_SIZE(value) and (
                memcmp(PyBytes_AS_STRING(value), PyBytes_AS_STRING(header), size) == 0
            ):
                break
        else:
            return None
        source.at = <const unsigned char *>PyBytes_AS_STRING(value) + size
        source.end = <const unsigned char *>PyBytes_AS_STRING(value) + PyBytes_GET_SIZE(value)
        try:
            made = self.record.read(&source)
        except ValueError:
            return None
        return made if source.at == source.end else None


cdef class Writer:
    """Writes whole records behind a header; not thread-safe."""

    cdef Record record
    cdef bytes header
    cdef Output output

    def __init__(self, Record record, bytes header not None):
        self.record = record
        self.header = header
        self.output = Output()

    def write(self, value):
        """Return the header and the struct's bytes, or None where the struct is unusual."""
        cdef Output output = self.output
        output.size = 0
        try:
            output.put(PyBytes_AS_STRING(self.header), PyBytes_GET_SIZE(self.header))
            self.record.write(value, output)
        except (ValueError, OverflowError):
            return None
        return PyBytes_FromStringAndSize(<char *>output.data, output.size)
