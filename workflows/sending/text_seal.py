"""A text that left, sealed: enough to know it again in a provider's list, and nothing to read."""

import hmac
from hashlib import sha256
from typing import Final

from sqlmodel import Session

from store.settings import secret_of

SEALED: Final = "text"
"""What the seal is called in the detail of a contact's history."""
SEAL_KEY: Final = "text_key"
"""The setting that holds the secret."""
_LENGTH: Final = 32


def seal_key(session: Session) -> str:
    """The secret of the seals; needs a session that writes. Texts are easily guessed, so a plain hash would give them away."""
    return secret_of(session, SEAL_KEY)


def seal(key: str, text: str) -> str:
    """The seal of a text."""
    # A text that is none is for the adapter to refuse.
    return hmac.new(key.encode(), text.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:_LENGTH]


def is_sealed(key: str, sealed: str, text: str) -> bool:
    """Whether it is the seal of this text."""
    return hmac.compare_digest(seal(key, text), sealed)
