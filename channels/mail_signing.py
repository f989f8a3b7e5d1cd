"""
What ties a mail to us: an id that only we can make, so that reports about it are believed, and a DKIM signature.

Sources: RFC 6376 (DKIM), RFC 8058 section 4 (both unsubscribe headers are signed).
"""

import hmac
import re
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Final

from channels.message import CONTACT_ID, Secret
from engine.errors import Problem, SettingsError

_SEAL_HEX: Final = 16
"""64 bits: nobody guesses one, and an id stays short."""
_ID: Final = re.compile(r"<?([A-Za-z0-9-]+)(?:\.([0-9a-f]+))?@([A-Za-z0-9.-]+)>?")
_SIGNED: Final = (
    b"from", b"from", b"to", b"subject", b"date", b"message-id", b"auto-submitted", b"reply-to", b"mime-version",
    b"content-type", b"content-transfer-encoding", b"content-language", b"list-unsubscribe", b"list-unsubscribe-post",
)  # fmt: skip
"""Signed where they are, and that they are missing where they are not; `From` twice, so that none can be added."""


def message_id(contact_id: str, from_address: str, secret: Secret | None = None) -> str:
    """
    The Message-ID of a contact's mail: the same for every attempt.

    It does not stop a second copy, it makes one visible, and ties replies and reports to the contact.

    Args:
        secret: seals the id; without one anybody who knows a contact id could make it.
    """
    seal = f".{_seal(contact_id, secret)}" if secret is not None else ""
    return f"<{contact_id}{seal}@{domain_of(from_address)}>"


def contact_of(found: str, from_address: str, secret: Secret) -> str | None:
    """
    Whose mail a Message-ID is; None: it is none of ours.

    Raises:
        ValueError: it claims to be ours, and its seal is wrong.
    """
    match = _ID.fullmatch(found.strip())
    if match is None or match[3].lower() != domain_of(from_address).lower() or not CONTACT_ID.fullmatch(match[1]):
        return None
    if not hmac.compare_digest((match[2] or "").encode(), _seal(match[1], secret).encode()):
        raise ValueError("a Message-ID that we did not make")
    return match[1]


def domain_of(from_address: str) -> str:
    """The domain of `Name <address>`."""
    return parseaddr(from_address)[1].rpartition("@")[2]


def _seal(contact_id: str, secret: Secret) -> str:
    return hmac.new(secret.get_secret_value().encode(), contact_id.encode(), "sha256").hexdigest()[:_SEAL_HEX]


@dataclass(frozen=True, slots=True)
class DkimKey:
    """
    A key that mails are signed with; its public half stands in the DNS at `selector._domainkey.domain`.

    Attributes:
        private_key: RSA, in PEM.
    Raises:
        SettingsError: it is no RSA key.
    """

    domain: str
    selector: str
    private_key: Secret = field(repr=False)

    def __post_init__(self) -> None:
        try:
            self.signed(b"From: a@example\r\n\r\n\r\n")
        except Exception:  # noqa: BLE001  the library has many words for it, and quotes what it read
            what = "mail cannot be signed: the DKIM key is no RSA private key in PEM, or domain or selector is none"
            mend = "make one with `openssl genrsa -out dkim.pem 2048`, and see `mail.dkim`"
            raise SettingsError(Problem(what, mend)) from None

    def signed(self, mail: bytes) -> bytes:
        """The mail with its signature in front."""
        import dkim

        header: bytes = dkim.sign(
            mail,
            self.selector.encode(),
            self.domain.encode(),
            self.private_key.get_secret_value().encode(),
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=list(_SIGNED),
        )
        return header + mail
