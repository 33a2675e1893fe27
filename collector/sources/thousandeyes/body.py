"""Collects the body of one answer, compressed or not, within a size.

Rule: no more than the allowed bytes are ever held, before or after decompression: a small answer that unpacks to
gigabytes is stopped at the limit. The HTTP library's own decoder unpacks a whole chunk before anyone can look.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS

_LENGTH_DIGITS_MAX = 20
"""Beyond 64 bits it is no length."""


class BodyTooLarge(Exception):
    """The body exceeds the limit."""


class BodyUnreadable(Exception):
    """The body cannot be decompressed."""


class BodyReader:
    """Collects one body.

    Mutable state: the chunks so far, their size, the decompressor of a compressed body.

    Args:
        bytes_max: largest body, before and after decompression, bytes.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._chunks: list[bytes] = []
        self._received_bytes = 0
        self._unpacked_bytes = 0
        self._compressed = False
        self._decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)

    def expect_length(self, headers: Mapping[str, str]) -> None:
        """Saves the transfer of a body that is going to be refused.

        Raises:
            BodyTooLarge: the answer says that its body exceeds the limit.
        """
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and len(length) < _LENGTH_DIGITS_MAX and int(length) > self._bytes_max:
            raise self._too_large()

    def expect_encoding(self, headers: Mapping[str, str]) -> None:
        """Takes note of how the body is compressed.

        Raises:
            BodyUnreadable: it is compressed in a way that was not asked for.
        """
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise BodyUnreadable("the answer is compressed in a way that was not asked for (gzip was)")
        self._compressed = encoding in ("gzip", "x-gzip")

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes off the wire.

        Raises:
            BodyTooLarge: the limit is exceeded.
            BodyUnreadable: the bytes are not what the answer's encoding says.
        """
        self._received_bytes += len(chunk)
        if self._received_bytes > self._bytes_max:
            raise self._too_large()
        if self._compressed:
            self._unpack(chunk)
        else:
            self._chunks.append(chunk)

    def _unpack(self, chunk: bytes) -> None:
        while chunk:
            if self._decompressor.eof:  # gzip allows several members in a row
                self._decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
            try:
                # One byte above the limit is enough to know; 0 would mean no limit.
                unpacked = self._decompressor.decompress(chunk, self._bytes_max - self._unpacked_bytes + 1)
            except zlib.error:
                raise BodyUnreadable("the answer says that it is compressed with gzip, but is not") from None
            self._unpacked_bytes += len(unpacked)
            if self._unpacked_bytes > self._bytes_max:
                raise self._too_large()
            self._chunks.append(unpacked)
            chunk = self._decompressor.unconsumed_tail or self._decompressor.unused_data

    def end(self) -> None:
        """The last byte was fed.

        Raises:
            BodyUnreadable: the compressed body is broken off.
        """
        if self._compressed and self._received_bytes and not self._decompressor.eof:
            raise BodyUnreadable("the compressed body is broken off")

    def body(self) -> bytes:
        """What came, decompressed; the reader forgets it."""
        chunks, self._chunks = self._chunks, []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the answer is larger than {self._bytes_max} bytes")
