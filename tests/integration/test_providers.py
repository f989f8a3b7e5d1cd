"""What the settings make of the providers: which accounts, in which order, how fast; and who reads what comes back."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from channels import gateway_file
from channels.mailbox import Imap, Maildir
from channels.message import Message
from channels.testing.gateway import ACCOUNT, SECRET, FakeGateway
from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FakeProvider
from duecourse.providers import inward, outward, reporting
from duecourse.workspace import Workspace, open_workspace
from engine.errors import DuecourseError, SettingsError
from store.outbox import RECORDED_CALL
from workflows.sending.door import Lane

EXAMPLE = Path(gateway_file.__file__).with_name("gateway_example.yaml")
CHINA, AMERICA = "+8613800138000", "+12025550123"
SAID = {"addressee.name": "王芳", "loan.overdue": "1,234.50元", "lender.phone": "+1 555 0100"}


def workspace(folder: Path, text: str) -> Workspace:
    (folder / "duecourse.yaml").write_text(text, encoding="utf-8")
    return open_workspace(folder, {})


def text_message(to: str, contact_id: str) -> Message:
    return Message(contact_id, "sms", to, "", "还款提醒", language="zh", template="friendly-reminder", values=SAID)


def test_a_gateway_and_an_account_share_the_work(tmp_path: Path):
    """The gateway takes the numbers it serves, the other account the rest, at the pace of the slower."""
    with FakeGateway() as gateway, FakeProvider() as provider:
        described = EXAMPLE.read_text(encoding="utf-8").replace("https://sms.freedonia.example", gateway.base_url)
        (tmp_path / "gateway.yaml").write_text(described, encoding="utf-8")
        made = outward(
            workspace(
                tmp_path,
                f"sms: {{account_sid: {ACCOUNT_SID}, auth_token: {AUTH_TOKEN}, base_url: '{provider.base_url}',\n"
                "  from_numbers: ['+15005550020', '+15005550021'], sends_per_second_max: 50,\n"
                "  sends_per_day_max: 20000}\n"
                f"sms_gateway: {{file: gateway.yaml, account: {ACCOUNT}, secret: {SECRET}, sends_per_second_max: 20}}\n",
            )
        )

        async def work() -> list[str]:
            adapter = made.adapters["sms"]
            try:
                messages = (text_message(CHINA, "1-1-0"), text_message(AMERICA, "1-2-0"))
                return [(await adapter.send(m)).provider for m in messages]
            finally:
                await adapter.close()

        assert asyncio.run(work()) == ["freedonia", "twilio"]
        assert made.lanes["sms"] == Lane(16, 20, {"freedonia": None, "twilio": 20_000})
        assert gateway.taken[0].fields["params"] == {"name": "王芳", "amount": "1,234.50元", "phone": "+1 555 0100"}


def test_who_reports_what_became_of_messages(tmp_path: Path):
    """Twilio where it is told where to, a gateway whose file describes it; a mail server never does."""
    (tmp_path / "gateway.yaml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    gateway = f"sms_gateway: {{file: gateway.yaml, account: {ACCOUNT}, secret: {SECRET}}}\n"
    account = f"sms: {{account_sid: {ACCOUNT_SID}, auth_token: {AUTH_TOKEN}, from_numbers: ['+15005550020']}}\n"
    mail = "mail: {host: localhost, from_address: care@lender.example}\n"
    assert reporting(workspace(tmp_path, account + mail)) == set()
    ours = "listen: {public_url: 'https://lender.example'}\n"
    assert reporting(workspace(tmp_path, account + gateway + mail + ours)) == {"twilio", "freedonia"}


def test_a_mail_is_signed_and_sealed_as_the_settings_say(tmp_path: Path):
    """Key file, envelope sender and seal come from the workspace; what is read back is what was sent."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed, so no key can be made")
    subprocess.run(["openssl", "genrsa", "-out", tmp_path / "dkim.pem", "2048"], check=True, capture_output=True)
    with FakeMailServer() as server:
        made = workspace(
            tmp_path,
            f"mail: {{host: {server.host}, port: {server.port}, security: plain, from_address: care@lender.example,\n"
            "  bounce_address: bounces@lender.example, id_secret: hush, dkim: {selector: s1, key_file: dkim.pem},\n"
            "  bounces: {maildir: reports}}\n",
        )
        adapter = outward(made).adapters["email"]

        async def work() -> None:
            await adapter.send(Message("1-2-0", "email", "a@b.example", "Hello", "Text"))
            await adapter.close()

        asyncio.run(work())
        (taken,) = server.of_contact("1-2-0")
        assert taken.sender == "bounces@lender.example"
        assert "d=lender.example" in taken.mail["DKIM-Signature"]
        read = inward(made)
        assert read.mailbox == Maildir(tmp_path / "reports")
        assert read.mail is not None


def test_each_account_has_its_rate_and_its_day(tmp_path: Path):
    """Texts, calls and mail are counted apart, and the day is the lender's."""
    made = outward(
        workspace(
            tmp_path,
            "zone: Asia/Shanghai\n"
            f"sms: {{account_sid: {ACCOUNT_SID}, auth_token: x, from_number: '+15550100123', callback_url: 'https://a.example',\n"
            "  calls_from: '+15550100123', sends_per_day_max: 20000, calls_per_day_max: 300}\n"
            "mail: {host: mx, from_address: care@lender.example, sends_per_second_max: 2.5, sends_per_day_max: 5000}\n",
        )
    )
    assert made.zone == "Asia/Shanghai"
    assert made.lanes == {
        "sms": Lane(64, 10, {"twilio": 20_000}),
        RECORDED_CALL: Lane(64, 1, {"twilio": 300}),
        "email": Lane(4, 2.5, {"smtp": 5_000}),
    }


def test_an_imap_mailbox_is_one_too(tmp_path: Path):
    """What the settings say of it is how it is asked."""
    made = inward(
        workspace(
            tmp_path,
            "mail: {host: mx, from_address: care@lender.example, id_secret: hush, "
            "bounces: {host: imap.lender.example, username: reports, mailbox: Reports}}\n",
        )
    )
    assert isinstance(made.mailbox, Imap)
    assert (made.mailbox.host, made.mailbox.port, made.mailbox.mailbox) == ("imap.lender.example", 993, "Reports")
    assert made.twilio is None


MAIL = "mail: {host: mx, from_address: care@lender.example, "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MAIL + "bounces: {maildir: a}}", ("reports of mails would be believed whoever wrote them\n"
         "  mend: set `mail.id_secret`, best as DUECOURSE_MAIL__ID_SECRET")),
        (MAIL + "id_secret: x, bounces: {maildir: a, host: b}}", ("the mailbox for reports is in two places\n"
         "  mend: set either `mail.bounces.maildir` or `mail.bounces.host`")),
        (MAIL + "id_secret: x, bounces: {}}", ("the mailbox for reports is nowhere\n"
         "  mend: set either `mail.bounces.maildir` or `mail.bounces.host`")),
        ("sms_gateway: {secret: x, file: gateway.yaml}", ("there is no file `gateway.yaml`\n"
         "  mend: write its name as it is on the disk")),
        ("sms: {account_sid: AC1, auth_token: x, callback_url: lender}", ("`lender` is no address that a provider could call\n"
         "  mend: set `sms.callback_url` to `https://...`")),
    ],
)  # fmt: skip
def test_settings_under_which_nothing_could_be_read_are_refused(tmp_path: Path, text: str, said: str):
    """Nobody to believe, nowhere to look, or no file: said with the mend, before anything is read."""
    with pytest.raises(DuecourseError) as refused:
        inward(workspace(tmp_path, text + "\n"))
    assert str(refused.value) == said


def test_a_key_that_is_not_there_stops_the_mail_before_it_starts(tmp_path: Path):
    """Mails that should be signed do not go unsigned."""
    (tmp_path / "dkim.pem").write_text("no key")
    with pytest.raises(SettingsError, match="mail cannot be signed"):
        outward(workspace(tmp_path, MAIL + "dkim: {selector: s1, key_file: dkim.pem}}\n"))
