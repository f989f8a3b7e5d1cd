"""
How Duecourse is told to run: defaults < `duecourse.yaml` < `DUECOURSE_*` in the environment < flags.

Settings say how we run; packs say what is allowed: a legal limit is never a setting.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from config.files import read_text
from engine.errors import Place, Problem, SettingsError
from engine.source import Listing, Node, Table, Text, read_yaml

FILE = "duecourse.yaml"
TOKEN_MIN: Final = 24
"""Characters of a token: `openssl rand -hex 32` makes 64."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"`{name}` is no IANA time zone; one is `Asia/Shanghai`") from None
    return name


def _country(code: str) -> str:
    if re.fullmatch("[A-Z]{2}", code) is None:
        raise ValueError(f"`{code}` is no country code; one is `CN`")
    return code


Zone = Annotated[str, AfterValidator(_zone)]
Country = Annotated[str, AfterValidator(_country)]


def _long_enough(token: SecretStr | None) -> SecretStr | None:
    if token is not None and len(token.get_secret_value()) < TOKEN_MIN:
        raise ValueError(f"it has fewer than {TOKEN_MIN} characters, and could be guessed")
    return token


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lender(_Part):
    """Who the borrower hears from; stands in every message."""

    name: str = Field("Example Lender", description="the name a borrower knows")
    phone: str = Field("+1 555 0100", description="a number that is answered")
    url: str = Field("https://lender.example", description="where to pay and to get help")
    email: str = Field("care@lender.example", description="where a mail that says stop is read")


class Sms(_Part):
    """The text-message provider account."""

    account_sid: str = Field(description="the provider's account id")
    auth_token: SecretStr = Field(description="best handed in as DUECOURSE_SMS__AUTH_TOKEN")
    from_number: str | None = Field(None, description="sender in E.164; or from_numbers, or messaging_service_sid")
    from_numbers: tuple[str, ...] = Field((), description="a pool of senders; everybody always hears from the same one")
    sends_per_second_per_number: float | None = Field(
        None, gt=0, le=500, description="what carriers allow each of them"
    )
    messaging_service_sid: str | None = None
    calls_from: str | None = Field(None, description="sender of recorded calls in E.164; none: no calls are made")
    base_url: str | None = Field(None, description="another address than the provider's own, for a stand-in")
    callback_url: str = Field(
        "", description="where the provider reports deliveries; empty: under listen.public_url, or no reports"
    )
    timeout_seconds: float = Field(10, gt=0, le=120)
    connections: int = Field(64, ge=1, le=500)
    sends_per_second_max: int = Field(10, ge=1, le=500, description="agreed with the carrier")
    sends_per_day_max: int | None = Field(None, ge=1, description="texts that it takes a calendar day; none: no limit")
    calls_per_second_max: float = Field(1, gt=0, le=100, description="recorded calls that the provider takes up")
    calls_per_day_max: int | None = Field(None, ge=1, description="recorded calls that it takes a calendar day")


class SmsGateway(_Part):
    """A text-message gateway that a file describes; with `sms` beside it, it is asked first."""

    file: str = Field("config/gateway.yaml", description="how it is spoken to")
    account: str = ""
    secret: SecretStr = Field(description="best handed in as DUECOURSE_SMS_GATEWAY__SECRET")
    ca_file: str | None = Field(None, description="certificates to trust besides the machine's own")
    timeout_seconds: float = Field(10, gt=0, le=120)
    connections: int = Field(16, ge=1, le=500)
    sends_per_second_max: int = Field(10, ge=1, le=500, description="agreed with the gateway")
    sends_per_day_max: int | None = Field(None, ge=1, description="texts that it takes a calendar day; none: no limit")


class Dkim(_Part):
    """The key that mails are signed with."""

    selector: str = Field(description="the public key stands in the DNS at SELECTOR._domainkey.DOMAIN")
    key_file: str = Field(description="RSA private key in PEM")
    domain: str = Field("", description="empty: the domain of from_address")


class Bounces(_Part):
    """The mailbox for reports of mails that did not arrive: a Maildir, or IMAP."""

    maildir: str | None = None
    host: str | None = None
    port: int = Field(993, ge=1, le=65535)
    security: Literal["tls", "starttls", "plain"] = "tls"
    username: str = ""
    password: SecretStr = SecretStr("")
    mailbox: str = "INBOX"
    ca_file: str | None = None


class Mail(_Part):
    """The outgoing mail server."""

    host: str
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "plain"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    from_address: str
    ca_file: str | None = Field(None, description="certificates to trust besides the machine's own")
    timeout_seconds: float = Field(20, gt=0, le=300)
    connections: int = Field(4, ge=1, le=32)
    sends_per_second_max: float | None = Field(None, gt=0, le=500, description="agreed with the server; none: no limit")
    sends_per_day_max: int | None = Field(None, ge=1, description="mails that it takes a calendar day; none: no limit")
    bounce_address: str = Field("", description="where reports go; empty: from_address")
    id_secret: SecretStr | None = Field(
        None, description="seals Message-IDs; best handed in as DUECOURSE_MAIL__ID_SECRET"
    )
    dkim: Dkim | None = None
    bounces: Bounces | None = None


class Listen(_Part):
    """Where the outside reaches us: providers' callbacks, unsubscribe links, the lender's own systems."""

    host: str = Field("127.0.0.1", description="the address it listens at; a proxy with TLS stands in front")
    port: int = Field(8470, ge=0, le=65535, description="0: any that is free")
    public_url: str = Field("", description="how the outside reaches it, e.g. https://hooks.lender.example")
    token: SecretStr | None = Field(
        None, description="whoever posts events knows it; best handed in as DUECOURSE_LISTEN__TOKEN"
    )
    former_token: SecretStr | None = Field(None, description="taken as well, while callers change over")

    @field_validator("public_url")
    @classmethod
    def _public(cls, url: str) -> str:
        if url and re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", url) is None:
            raise ValueError(f"`{url}` is no address that starts with https://")
        return url.rstrip("/")

    _secret = field_validator("token", "former_token")(_long_enough)


class Metrics(_Part):
    """Who may ask for figures, and where the scheduler answers."""

    token: SecretStr | None = Field(
        None, description="whoever scrapes `/metrics` knows it; best handed in as DUECOURSE_METRICS__TOKEN"
    )
    host: str = Field("127.0.0.1", description="the address that `serve` answers at")
    port: int | None = Field(None, ge=0, le=65535, description="where `serve` answers; 0: any that is free")

    _secret = field_validator("token")(_long_enough)


class Letters(_Part):
    """How letters and other papers are printed."""

    paper: Literal["a4", "letter"] = "a4"
    font: str | None = Field(None, description="a TrueType file that is embedded; none: the fonts that readers have")
    post: str = Field("standard", description="the postal class that a manifest names")
    post_notice: str = Field("registered", description="that of notices which the law or the contract asks for")


class Witness(_Part):
    """Somebody outside who keeps the log's checkpoints; one of these."""

    folder: str | None = Field(None, description="best on another machine's disk")
    mail: str | None = Field(None, description="an address; needs `mail`")
    url: str | None = Field(None, description="https; each checkpoint is posted there as text")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(value is not None for value in (self.folder, self.mail, self.url)) != 1:
            raise ValueError("a witness is one of `folder`, `mail` and `url`")
        return self


class Audit(_Part):
    """Who signs the log, whose signatures count, and who else keeps them."""

    key: SecretStr | None = Field(None, description="best handed in as DUECOURSE_AUDIT__KEY; else key_file is read")
    key_file: str = Field("secrets/log.key", description="the private key")
    keys_file: str = Field("config/log-keys.txt", description="public keys with their times")
    witnesses: tuple[Witness, ...] = ()


class Seal(_Part):
    """What personal data in the book is sealed with."""

    keys: SecretStr | None = Field(None, description="best handed in as DUECOURSE_SEAL__KEYS; else keys_file is read")
    keys_file: str = Field("secrets/seal.keys", description="one key a line: the first seals, all of them open")


class Settings(BaseSettings):
    """Everything there is to set; `duecourse config show` tells where each value came from."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="DUECOURSE_", env_nested_delimiter="__", env_ignore_empty=True
    )

    database: str = Field("sqlite:///data/duecourse.db", description="sqlite:///file, or postgresql://...")
    zone: Zone = Field("UTC", description="the lender's business zone: schedules, reports")
    language: Literal["en", "zh"] = Field("en", description="used where a borrower's language has no template")
    actor: Literal["first_party", "agency", "debt_buyer"] = "first_party"
    countries: tuple[Country, ...] = Field(
        (), description="where it lends: nobody elsewhere is contacted; empty: wherever there is a pack"
    )
    lender: Lender = Field(default_factory=Lender)
    sms: Sms | None = None
    sms_gateway: SmsGateway | None = None
    mail: Mail | None = None
    listen: Listen = Field(default_factory=Listen)
    metrics: Metrics = Field(default_factory=Metrics)
    letters: Letters = Field(default_factory=Letters)
    audit: Audit = Field(default_factory=Audit)
    seal: Seal = Field(default_factory=Seal)
    inbox_days: int = Field(
        90, ge=30, le=3650, description="how long what came from outside is kept once it is handled"
    )
    erase_when_over: bool = Field(
        False,
        description="the job `tidy` erases the words of records whose clocks are over, and people all of whose clocks are; "
        "nothing brings them back",
    )
    doubts_owner: str = Field(
        "operations", min_length=1, description="who settles messages in doubt that no provider can be asked about"
    )
    allow_list: tuple[str, ...] = Field((), description="numbers and addresses that may be reached outside production")
    loans_per_chunk: int = Field(20_000, ge=1, le=1_000_000)
    sweep_processes: int = Field(2, ge=1, le=64, description="so many decide a big book at once")
    backlog_share_max: float = Field(
        0.25, gt=0, le=1, description="a catch-up run that would contact more of the book than this waits for a person"
    )
    spread_minutes: int = Field(
        0, ge=0, le=720, description="a sweep's messages leave over so long from when they may, not all at once"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: `load_settings` merges file, environment and flags itself, in that order."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(folder: Path, flags: Mapping[str, Any] | None = None) -> tuple[Settings, dict[str, str]]:
    """
    Settings of the workspace in `folder`, and where each value came from.

    Returns:
        settings, and dotted name -> `default`, `duecourse.yaml:LINE`, the environment name, or `flag`.
    Raises:
        SettingsError: every wrong key and value at once, with its place and mend.
    """
    path = folder / FILE
    places: dict[str, str] = {}
    values: dict[str, Any] = {}
    file_places: dict[str, Place] = {}
    if path.exists():
        node = read_yaml(read_text(path, str(path)), str(path))
        if not isinstance(node, Table):
            raise SettingsError(Problem("settings are not a table", "write `name: value` lines", node.at))
        values = _plain(node, "", file_places)
        places |= {name: f"{FILE}:{at.line}" for name, at in file_places.items()}
    env = EnvSettingsSource(Settings)()
    _merge(values, env)
    places |= {name: _env_name(name) for name in _dotted(env) if _env_name(name) in os.environ}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _merge(values, given)
    places |= dict.fromkeys(given, "flag")
    try:
        settings = Settings(**values)
    except ValidationError as e:
        raise SettingsError([_problem(error, path, file_places, places) for error in e.errors()]) from None
    return settings, places


def _problem(error: Any, path: Path, file_places: Mapping[str, Place], places: Mapping[str, str]) -> Problem:
    # One of several values stands where they all do, and is named as they are.
    name = ".".join(part for part in error["loc"] if isinstance(part, str))
    at = file_places.get(name) or (Place(str(path)) if path.exists() else None)
    if error["type"] == "extra_forbidden":
        return Problem(f"unknown setting `{name}`", "`duecourse config show` lists the settings there are", at)
    if error["type"] == "missing":
        return Problem(f"setting `{name}` is missing", f"write it, or set {_env_name(name)}", at)
    where = places.get(name, "")
    source = f" (from {where})" if where.startswith("DUECOURSE_") else ""
    message = error["msg"].removeprefix("Value error, ")
    return Problem(f"setting `{name}`{source} cannot be used: {message}", "write a value of that kind", at)


def _env_name(dotted: str) -> str:
    return "DUECOURSE_" + dotted.upper().replace(".", "__")


def _plain(node: Table, prefix: str, places: dict[str, Place]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in node.items.items():
        places[prefix + key] = node.key_at[key]
        out[key] = _value(value, f"{prefix}{key}.", places)
    return out


def _value(node: Node, prefix: str, places: dict[str, Place]) -> Any:
    if isinstance(node, Table):
        return _plain(node, prefix, places)
    if isinstance(node, Listing):
        return [_value(item, prefix, places) for item in node]
    return node.value if isinstance(node, Text) else None


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _dotted(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in values.items():
        names += _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [prefix + key]
    return names
