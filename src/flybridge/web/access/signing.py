"""Signatures of cookies and CSRF tokens, under a key that all processes of an installation derive from its secret."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest, digest


class Signer:
    """Signs short texts. Each purpose has signatures of its own."""

    def __init__(self, secret: bytes) -> None:
        self._key = digest(secret, b"flybridge console v1", sha256)

    def signature(self, purpose: str, text: str) -> str:
        """Return the signature of a text."""
        found = digest(self._key, f"{purpose}\0{text}".encode("utf-8", "replace"), sha256)
        return urlsafe_b64encode(found[:24]).decode()

    def fits(self, purpose: str, text: str, signature: str) -> bool:
        """Whether a signature is that of the text."""
        return compare_digest(self.signature(purpose, text).encode(), signature.encode("utf-8", "replace"))

    def signed(self, purpose: str, text: str) -> str:
        """Return a text with its signature."""
        return f"{text}.{self.signature(purpose, text)}"

    def opened(self, purpose: str, signed: str) -> str | None:
        """Return the text of a signed one; None if the signature does not fit."""
        text, dot, signature = signed.rpartition(".")
        return text if dot and self.fits(purpose, text, signature) else None
