"""Sealing: bytes that hold personal data are encrypted before they are written anywhere.

AES-256-GCM with a random 96-bit nonce. Keys are derived from the configured secrets with HKDF, so that the hashing of
identifiers and the sealing of bytes never share a key. To erase is to delete the row: pages that a database leaves
behind, in its file or its log, hold nothing readable.
"""

from __future__ import annotations

from hmac import compare_digest, digest
from os import urandom
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flybridge.errors import SealBroken

NONCE_BYTES: Final = 12


class Seal:
    """Seals and opens bytes. The first secret seals; all of them open, so that a secret can be rotated."""

    def __init__(self, *secrets: bytes) -> None:
        if not secrets or not all(secrets):
            raise ValueError("a seal needs at least one secret, and none may be empty")
        self._ciphers = [AESGCM(_derived(secret, b"flybridge seal v1")) for secret in secrets]
        self._keys = [_derived(secret, b"flybridge trail v1") for secret in secrets]

    def seal(self, clear: bytes) -> bytes:
        """Encrypt and authenticate. The result is 28 bytes longer."""
        nonce = urandom(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, clear, None)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt with the first secret that fits. Raises `SealBroken` when none does."""
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, text, None)
            except (InvalidTag, ValueError):
                continue
        raise SealBroken("Sealed data can't be opened: was `secret` changed? Put the former one into `former_secrets`.")

    def opened(self, sealed: bytes) -> bytes | None:
        """Decrypt like `open`; None when no secret fits."""
        try:
            return self.open(sealed)
        except SealBroken:
            return None

    @property
    def rotates(self) -> bool:
        """Whether there are former secrets, under which something may still be sealed."""
        return len(self._ciphers) > 1

    def is_current(self, sealed: bytes) -> bool:
        """Whether the first secret opens it."""
        try:
            self._ciphers[0].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except (InvalidTag, ValueError):
            return False
        return True

    def sign(self, clear: bytes) -> bytes:
        """Return a keyed hash under the first secret, 32 bytes."""
        return digest(self._keys[0], clear, "sha256")

    def signed(self, clear: bytes, signature: bytes) -> bool:
        """Whether a keyed hash was made of these bytes under any of the secrets."""
        return any(compare_digest(digest(key, clear, "sha256"), signature) for key in self._keys)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=purpose).derive(secret)
