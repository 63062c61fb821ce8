"""Recognise and undo the encodings in which editors, spreadsheets and consoles save text."""

from __future__ import annotations

import codecs
import io
import re
from html import unescape
from typing import IO, Any, Final, cast

JSON_IN_BASE64: Final = "(?:eyJ|eyA|ewo|ewk|ew0|W3s|W1t|Int|IHs)[A-Za-z0-9+/_-]"
"""The pattern of how JSON begins in base64. No other text begins like a bracket and a quote, or a blank, in it."""
BLANKS: Final = (
    "".join(chr(code) for code in (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)))
    + "\0\u2028\u2029\u202f\u205f\u3000"  # what takes room, and what takes none
    + "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
)
"""Characters that show nothing: at the ends of a name, and of what stands for no value, they are left out."""
EDGES: Final = "".join(filter(str.isascii, BLANKS))
"""Those of ASCII. A C program ends text with a zero, which `strip` alone leaves."""
QUOTED: Final = BLANKS + "\"'"
OPTIONAL: Final = re.compile(r"Optional\((.*)\)", re.DOTALL)
"""A value as Swift prints it that the app has not unwrapped."""
MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks. Those of UTF-32 begin like those of UTF-16."""
CHARSETS: Final = re.compile(
    r"(?:iso[-_]?)?8859[-_](?:[2-9]|1\d)|latin-?(?:[2-9]|10)|(?:cp|windows-)(?:874|125[01345678])"
    r"|cp(?:437|850|866|932|949|950)|koi8[-_][rtu]|gb(?:k|2312|18030)|big5|shift[-_]jis|sjis|euc[-_](?:jp|kr)"
    r"|tis-620"
)
"""Names of encodings that are believed: of text, and not those that the bytes themselves tell."""
_HALVES: Final = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
"""A character that programs with 16 bits for each (Java's, old databases) write as two: CESU-8."""
_ZEROS: Final = re.compile("&#0+(?=[0-9])")
_NO_CHARACTER: Final = re.compile("&#[0-9]{8,};?")
_MARKS_BEFORE: Final = re.compile(rb"\A(?:\xef\xbb\xbf|\0)+")
LOOKED_AT: Final = 200
CHUNK: Final = 1 << 16


def encoding_of(beginning: bytes) -> str:
    """Return the encoding of a text by its first bytes; empty if they are those of UTF-8 or of eight bits."""
    for mark, encoding in MARKS:
        if beginning.startswith(mark):
            return encoding
    looked_at = beginning[:LOOKED_AT]
    fourths = [looked_at[place::4].count(0) * 4 > len(looked_at) - 4 for place in range(4)]
    if looked_at and sum(fourths) == 3:
        return "utf-32-be" if fourths[0] else "utf-32-le"
    first, second = looked_at[::2].count(0), looked_at[1::2].count(0)
    # Names of columns and fields are nearly all of characters whose other byte is zero.
    if max(first, second) * 4 > len(looked_at) and not min(first, second):
        return "utf-16-be" if first else "utf-16-le"
    return ""


def utf8(body: bytes, charset: str = "") -> bytes:
    """Return JSON, or other text that begins with a character of ASCII, as UTF-8, whatever encoding it is in.

    `charset` is what its sender says of it. What can't be read without a loss stays as it is, and so does Windows-1252,
    which is often stated and seldom all that a body has.
    """
    zeros = 0 in body[:4]
    if not zeros:
        if body.isascii():
            return body
        try:
            str(body, "utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return body
    encoding = next((name for mark, name in MARKS if body.startswith(mark)), "") or (_by_zeros(body) if zeros else "")
    stated = charset.strip("\"' ").lower()
    if not encoding and CHARSETS.fullmatch(stated):
        encoding = stated
    try:
        return body.decode(encoding).encode() if encoding else body
    except (UnicodeError, LookupError):
        return body


def _by_zeros(body: bytes) -> str:
    """Return the encoding of a text by where the zeros of its first two characters are, which are ASCII."""
    match [byte == 0 for byte in body[:4]]:
        case [True, True, True, False]:
            return "utf-32-be"
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, False, *_]:
            return "utf-16-be"
        case [False, True, *_]:
            return "utf-16-le"
    return ""


def bare_text(text: str) -> str:
    """Return a text without blanks and quotes around it, and without Swift's `Optional(...)`."""
    text = text.strip(QUOTED)
    if text[-1:] == ")" and (found := OPTIONAL.fullmatch(text)) is not None:
        return found[1].strip(QUOTED)
    return text


def without_entities(text: str) -> str:
    """Return a text of HTML as a page shows it: `&quot;` and `&#34;` are quotes.

    A number that no character has is replaced, as browsers do. Python refuses to read one of more than 4,300 digits.
    """
    return unescape(_NO_CHARACTER.sub("\ufffd", _ZEROS.sub("&#", text)))


def with_other_bytes(text: str) -> str:
    """Return a text whose bytes that are no UTF-8 were decoded as `surrogateescape` does: they are Windows-1252."""
    return text if text.isascii() else line_text(text.encode("utf-8", "surrogateescape"))


def _joined(halves: re.Match[bytes]) -> bytes:
    return halves[0].decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16").encode()


def line_text(line: bytes) -> str:
    """Return the text of one line: UTF-8, or else Windows-1252, which is Latin-1 and more.

    Of a line that has both valid and broken UTF-8 the broken characters are replaced.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        line = _HALVES.sub(_joined, line)
    text = line.decode("utf-8", "replace")
    if "\ufffd" not in text:
        return text
    if any(character > "\x7f" and character != "\ufffd" for character in text):
        return text
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def without_marks(line: bytes) -> bytes:
    """Return the first line of a file in UTF-8 without byte order marks, however many, and without NULs before it."""
    return _MARKS_BEFORE.sub(b"", line, 1)


def as_utf8(file: IO[bytes]) -> IO[bytes]:
    """Return a file of text so that it is read as UTF-8. `file` has a method `peek`, as files opened by Python have."""
    encoding = encoding_of(cast("Any", file).peek(LOOKED_AT)[:LOOKED_AT])
    if encoding in {"", "utf-8-sig"}:
        return file
    return cast("IO[bytes]", io.BufferedReader(_Recoded(file, encoding), CHUNK))


class _Recoded(io.RawIOBase):
    """Bytes of another encoding, read as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file: Any = file
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            raw = self._file.read1(CHUNK)  # what was read before damage is not lost with it
            self._left = self._decoder.decode(raw, final=not raw).encode("utf-8", "surrogatepass")
            if not raw:
                break
        given, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)
