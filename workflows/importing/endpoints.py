"""Phone numbers, mail and postal addresses: what they mean, in one spelling, or why they cannot be used."""

import json
from dataclasses import dataclass

from engine.errors import Problem

_NO_MOBILE = ("a landline number, which takes no texts", "write `landline` as its kind")
_NOBODYS = ("a number of a service, not of a person", "leave the row out")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One number or address.

    Attributes:
        value: in its one spelling: E.164, a normalised mail address, or postal text as JSON.
        zone: the zone that a number's prefix names, if it names exactly one.
    """

    value: str
    zone: str | None = None


def read_endpoint(kind: str | None, value: str) -> Endpoint | Problem:
    """
    Read one endpoint. A message never repeats the value: it is personal data.

    Args:
        kind: mobile, landline, email or postal; None: whichever the value looks like.
    """
    if kind is None:
        kind = "landline" if value.startswith("+") else "email" if "@" in value else "postal"
    if kind in ("mobile", "landline"):
        return _phone(kind, value)
    if kind == "email":
        return _email(value)
    return Endpoint(json.dumps({"text": " ".join(value.split())}, ensure_ascii=False))


def _phone(kind: str, value: str) -> Endpoint | Problem:
    import phonenumbers
    from phonenumbers import PhoneNumberFormat, PhoneNumberType
    from phonenumbers.timezone import time_zones_for_number

    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return Problem("not a phone number in international form", "write it as +, country and number")
    if not phonenumbers.is_valid_number(number):
        return Problem("no such number can exist", "correct it, or leave the row out")
    found = phonenumbers.number_type(number)
    if found in (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.TOLL_FREE, PhoneNumberType.SHARED_COST):
        return Problem(*_NOBODYS)
    if kind == "mobile" and found == PhoneNumberType.FIXED_LINE:
        return Problem(*_NO_MOBILE)
    zones = [zone for zone in time_zones_for_number(number) if zone != "Etc/Unknown"]
    return Endpoint(phonenumbers.format_number(number, PhoneNumberFormat.E164), zones[0] if len(zones) == 1 else None)


def _email(value: str) -> Endpoint | Problem:
    from email_validator import EmailNotValidError, validate_email

    try:
        return Endpoint(validate_email(value, check_deliverability=False).normalized)
    except EmailNotValidError:
        return Problem("not a mail address", "write it as name@domain")
