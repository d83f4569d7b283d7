"""Packs the records of idle leads, in memory only, with a dictionary learnt from the first of them.

Records repeat field values of the business that runs this: its campaigns, pages, stages. What a
dictionary of these leaves of a record is a fifth of it; a quarter of that are its ids, which
stand apart (`ids.py`).
"""

from __future__ import annotations

from typing import Final

import zstandard

from leadstream.streams.lifecycle.ids import ID_BYTES, put_back, take_out

MARK: Final = b"\xc1"
"""Begins a packed record; msgpack begins no value with it."""
SAMPLES: Final = 1000
DICTIONARY_BYTES: Final = 64 * 1024
SEGMENT_BYTES: Final = 600
DMER_BYTES: Final = 8
"""Given, so that learning searches for none and is over in a tenth of a second."""
LEVEL: Final = 4
_IDS_AT: Final = 3
"""Behind the mark, the number of the dictionary, and how many ids there are."""


class Packer:
    """Packs and unpacks; what was packed before the dictionary was learnt stays readable."""

    def __init__(self) -> None:
        self._samples: list[bytes | bytearray | memoryview[int]] | None = []
        self._compressors = [_compressor(None)]
        self._decompressors = [zstandard.ZstdDecompressor()]

    def pack(self, record: bytes) -> bytes:
        """Return a record packed, behind the mark."""
        ids, body = take_out(record)
        if self._samples is not None:
            self._samples.append(body)
            if len(self._samples) >= SAMPLES:
                self._learn(self._samples)
                self._samples = None
        newest = len(self._compressors) - 1
        packed = self._compressors[newest].compress(body)
        return b"".join((MARK, bytes((newest, len(ids) // ID_BYTES)), ids, packed))

    def unpack(self, packed: bytes | memoryview) -> bytes:
        """Return a record as `pack` got it."""
        start = _IDS_AT + packed[2] * ID_BYTES
        body = self._decompressors[packed[1]].decompress(packed[start:])
        return put_back(bytes(packed[_IDS_AT:start]), body)

    def _learn(self, samples: list[bytes | bytearray | memoryview[int]]) -> None:
        try:
            learnt = zstandard.train_dictionary(
                DICTIONARY_BYTES, samples, k=SEGMENT_BYTES, d=DMER_BYTES, level=LEVEL
            )
        except zstandard.ZstdError:
            return  # too few or too similar samples: packing goes on without
        self._compressors.append(_compressor(learnt))
        self._decompressors.append(zstandard.ZstdDecompressor(dict_data=learnt))


def _compressor(learnt: zstandard.ZstdCompressionDict | None) -> zstandard.ZstdCompressor:
    if learnt is not None:
        learnt.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(
        level=LEVEL, dict_data=learnt, write_checksum=False, write_dict_id=False
    )
