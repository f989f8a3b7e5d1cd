"""How the outgoing mail server is reached, and what its mails carry."""

from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Literal

from channels.mail_message import is_address
from channels.mail_signing import DkimKey
from channels.message import Secret
from engine.errors import Problem, SettingsError

Security = Literal["starttls", "tls", "plain"]


@dataclass(frozen=True, slots=True)
class MailSettings:
    """
    The outgoing mail server.

    Attributes:
        security: starttls: upgrade or do not send; tls: from the first byte; plain: only where an operator says so.
        from_address: `Name <address>` or the bare address.
        bounce_address: where reports of mails that did not arrive go, the envelope's sender; empty: `from_address`.
        id_secret: seals Message-IDs, so that a report about a mail is believed only if the mail was ours.
        dkim: the key mails are signed with; None: the mail server signs them, or nobody.
        connections: how many are kept, and how many messages go at once.
        ca_file: certificates to trust besides the machine's own, for a server inside the house.
    Raises:
        SettingsError: a sender that is no address, or a password that would travel in clear.
    """

    host: str
    port: int
    from_address: str
    security: Security = "starttls"
    username: str | None = None
    password: Secret | None = field(default=None, repr=False)
    timeout_seconds: float = 20
    connections: int = 4
    ca_file: str | None = None
    bounce_address: str = ""
    id_secret: Secret | None = field(default=None, repr=False)
    dkim: DkimKey | None = None

    def __post_init__(self) -> None:
        if self.bounce_address and not is_address(self.bounce_address):
            what = f"no report of a mail can go to `{self.bounce_address}`"
            raise SettingsError(Problem(what, "set `mail.bounce_address` to `name@lender.example`"))
        if not is_address(parseaddr(self.from_address)[1]) or not self.from_address.isprintable():
            what = f"mail cannot be sent from `{self.from_address}`"
            raise SettingsError(Problem(what, "set `mail.from_address` to `Name <name@lender.example>`"))
        if self.username and self.security == "plain":
            what = "the mail password would travel in clear"
            raise SettingsError(Problem(what, "set `mail.security` to `starttls` or `tls`"))
