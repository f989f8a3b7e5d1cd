"""Who speaks to the listener in its tests: their keys and numbers, and a provider's callbacks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from twilio.request_validator import RequestValidator

from channels.testing.gateway import SECRET
from duecourse.workspace import open_workspace
from store.db import Database
from tests.listening import Heard, Listener

ACCOUNT_SID, AUTH_TOKEN = "AC" + "0" * 32, "a" * 32
TOKEN, FORMER = "t" * 32, "f" * 32
PUBLIC = "https://hooks.lender.example"
US, CN = "+12125550102", "+12125550101"
ENV = {
    "DUECOURSE_SMS__AUTH_TOKEN": AUTH_TOKEN, "DUECOURSE_SMS_GATEWAY__SECRET": SECRET, "DUECOURSE_LISTEN__TOKEN": TOKEN,
    "DUECOURSE_LISTEN__FORMER_TOKEN": FORMER,
}  # fmt: skip
PAYMENT = {"event": "payment", "ref": "API-1", "loan": "CN-1", "amount": "250.00", "effective_on": "2026-03-02"}


@contextmanager
def opened(workspace: Path) -> Iterator[Database]:
    secrets = {"sms": {"auth_token": AUTH_TOKEN}, "sms_gateway": {"secret": SECRET}}
    found = open_workspace(workspace, secrets).open_database()
    yield found
    found.close()


def twilio(
    listener: Listener, form: Mapping[str, str], query: str = "", *, token: str = AUTH_TOKEN, url: str = ""
) -> Heard:
    """A callback, signed by the provider's own library for the address that it knows us by."""
    full = {"AccountSid": ACCOUNT_SID, "ApiVersion": "2010-04-01", **form}
    path = "/callbacks/twilio" + (f"?{query}" if query else "")
    signature = RequestValidator(token).compute_signature((url or PUBLIC) + path, full)
    return listener.post_form(path, full, {"X-Twilio-Signature": signature})


def text(body: str, ref: str, sender: str = US, **more: str) -> dict[str, str]:
    return {"MessageSid": ref, "From": sender, "To": "+15550100123", "Body": body, "NumMedia": "0", **more}
