"""The providers that the settings name: where messages leave, and who reads what comes back."""

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Final

from channels.bounces import MailReports
from channels.gateway_reports import GatewayReports
from channels.gateway_spec import Gateway
from channels.mail_settings import MailSettings
from channels.mail_signing import DkimKey, domain_of
from channels.mailbox import Imap, Mailbox, Maildir
from channels.message import Adapter
from channels.twilio_callbacks import TwilioCallbacks
from channels.twilio_client import NAME as TWILIO
from config.files import read_text
from config.settings import Bounces, Mail, Settings, Sms, SmsGateway
from duecourse.clock import now as this_moment
from duecourse.workspace import Workspace
from engine.errors import Problem, SettingsError
from store.outbox import RECORDED_CALL
from workflows.sending.door import Lane, Outward

TWILIO_PATH: Final = "/callbacks/twilio"
_NONCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Inward:
    """
    Who reads what providers send to us; None where nothing is set up.

    Attributes:
        mailbox: where reports of mails arrive; `mail` reads them.
    """

    twilio: TwilioCallbacks | None = None
    gateway: GatewayReports | None = None
    mailbox: Mailbox | None = None
    mail: MailReports | None = None


def outward(workspace: Workspace) -> Outward:
    """
    Where messages leave.

    Raises:
        SettingsError: a provider's settings do not hold together.
        RuleError: the gateway's file does not mean anything.
    """
    settings = workspace.settings
    adapters: dict[str, Adapter] = {}
    lanes: dict[str, Lane] = {}
    texts = [part for part in (settings.sms_gateway, settings.sms) if part is not None]
    if texts:
        accounts: list[Adapter] = []
        if settings.sms_gateway is not None:
            accounts.append(_gateway(workspace, settings.sms_gateway))
        if settings.sms is not None:
            accounts.append(_twilio(settings.sms, callback_url(settings)))
        per_day = {account.name: part.sends_per_day_max for account, part in zip(accounts, texts, strict=True)}
        adapters["sms"] = accounts[0] if len(accounts) == 1 else _in_turn(accounts)
        # Whichever account takes everything must stand it.
        at_once, per_second = min(part.connections for part in texts), min(part.sends_per_second_max for part in texts)
        lanes["sms"] = Lane(at_once, per_second, per_day)
    if settings.sms is not None and settings.sms.calls_from:
        calls = adapters[RECORDED_CALL] = _twilio(settings.sms, callback_url(settings))
        calls_per_day = {calls.name: settings.sms.calls_per_day_max}
        lanes[RECORDED_CALL] = Lane(settings.sms.connections, settings.sms.calls_per_second_max, calls_per_day)
    if settings.mail is not None:
        from channels.mail import MailAdapter

        mail = settings.mail
        server = adapters["email"] = MailAdapter(mail_settings(workspace, mail), this_moment)
        lanes["email"] = Lane(mail.connections, mail.sends_per_second_max, {server.name: mail.sends_per_day_max})
    return Outward(adapters, allow_list=frozenset(settings.allow_list), lanes=lanes, zone=settings.zone)


def inward(workspace: Workspace) -> Inward:
    """
    Who reads what comes back.

    Raises:
        SettingsError: settings for reports that could not be read, or not be believed.
        RuleError: the gateway's file does not mean anything.
    """
    sms, gateway, mail = workspace.settings.sms, workspace.settings.sms_gateway, workspace.settings.mail
    twilio = None
    if sms is not None and (url := callback_url(workspace.settings)):
        twilio = TwilioCallbacks(sms.account_sid, sms.auth_token, url)
    reports = GatewayReports(_described(workspace, gateway), gateway.account, gateway.secret) if gateway else None
    if mail is None or mail.bounces is None:
        return Inward(twilio, reports)
    if mail.id_secret is None:
        what = "reports of mails would be believed whoever wrote them"
        raise SettingsError(Problem(what, "set `mail.id_secret`, best as DUECOURSE_MAIL__ID_SECRET"))
    return Inward(twilio, reports, _mailbox(workspace, mail.bounces), MailReports(mail.from_address, mail.id_secret))


def reporting(workspace: Workspace) -> frozenset[str]:
    """
    The providers that report what became of each message, as contacts name them; mail servers do not.

    Raises:
        RuleError: the gateway's file does not mean anything.
    """
    settings, names = workspace.settings, set()
    if settings.sms is not None and callback_url(settings):
        names.add(TWILIO)
    if settings.sms_gateway is not None:
        gateway = _described(workspace, settings.sms_gateway)
        if gateway.receipts is not None:
            names.add(gateway.name)
    return frozenset(names)


def callback_url(settings: Settings) -> str:
    """Where Twilio reports to: the address in the settings, or ours as the outside reaches it; empty: nowhere."""
    if settings.sms is not None and settings.sms.callback_url:
        return settings.sms.callback_url
    return f"{settings.listen.public_url}{TWILIO_PATH}" if settings.listen.public_url else ""


def _twilio(sms: Sms, callback: str) -> Adapter:
    from channels.sms import SmsAdapter, SmsSettings

    return SmsAdapter(
        SmsSettings(
            account_sid=sms.account_sid,
            auth_token=sms.auth_token,
            from_number=sms.from_number,
            from_numbers=sms.from_numbers,
            sends_per_second_per_number=sms.sends_per_second_per_number,
            messaging_service_sid=sms.messaging_service_sid,
            calls_from=sms.calls_from,
            base_url=sms.base_url,
            timeout_seconds=sms.timeout_seconds,
            connections=sms.connections,
            callback_url=callback,
        )
    )


def _gateway(workspace: Workspace, gateway: SmsGateway) -> Adapter:
    from channels.gateway import GatewayAdapter

    return GatewayAdapter(
        _described(workspace, gateway),
        gateway.account,
        gateway.secret,
        clock=this_moment,
        nonce=partial(secrets.token_hex, _NONCE_BYTES),
        timeout_seconds=gateway.timeout_seconds,
        connections=gateway.connections,
        ca_file=gateway.ca_file,
    )


def _described(workspace: Workspace, gateway: SmsGateway) -> Gateway:
    from channels.gateway_file import read_gateway

    return read_gateway(read_text(workspace.folder / gateway.file, gateway.file), gateway.file)


def _in_turn(accounts: list[Adapter]) -> Adapter:
    from channels.failover import Failover

    return Failover(accounts)


def mail_settings(workspace: Workspace, mail: Mail) -> MailSettings:
    """How the outgoing mail server is reached."""
    dkim = None
    if mail.dkim is not None:
        from pydantic import SecretStr

        key = SecretStr(read_text(workspace.folder / mail.dkim.key_file, mail.dkim.key_file))
        dkim = DkimKey(mail.dkim.domain or domain_of(mail.from_address), mail.dkim.selector, key)
    return MailSettings(
        host=mail.host,
        port=mail.port,
        from_address=mail.from_address,
        security=mail.security,
        username=mail.username,
        password=mail.password,
        timeout_seconds=mail.timeout_seconds,
        ca_file=mail.ca_file,
        connections=mail.connections,
        bounce_address=mail.bounce_address,
        id_secret=mail.id_secret,
        dkim=dkim,
    )


def _mailbox(workspace: Workspace, bounces: Bounces) -> Mailbox:
    if bool(bounces.maildir) == bool(bounces.host):
        what = "the mailbox for reports is in two places" if bounces.host else "the mailbox for reports is nowhere"
        raise SettingsError(Problem(what, "set either `mail.bounces.maildir` or `mail.bounces.host`"))
    if bounces.maildir:
        return Maildir(workspace.folder / bounces.maildir)
    return Imap(
        host=bounces.host or "",
        port=bounces.port,
        security=bounces.security,
        username=bounces.username,
        password=bounces.password,
        mailbox=bounces.mailbox,
        ca_file=bounces.ca_file,
    )
