"""A book of two loans, small enough to know every answer by heart. Nobody can have these numbers and addresses."""

from pathlib import Path

AS_OF = "2026-03-02T06:00+08:00"
IMPORTED = "2026-03-02T06:30+08:00"
SWEPT = "2026-03-02T09:00+08:00"
SENT = "2026-03-02T09:30+08:00"
WORKED = "2026-03-02T09:40+08:00"

FILES = {
    "people": """\
ref,name,language,country,region,zones
C1,Sample Client One,zh,CN,CN-SH,Asia/Shanghai
U1,Sample Client Two,en,US,US-CA,America/Los_Angeles
""",
    "endpoints": """\
person,kind,value,zone,rank,source
C1,mobile,+12125550101,Asia/Shanghai,1,contract
U1,mobile,+12125550102,America/Los_Angeles,1,contract
U1,email,u1@example.com,,1,contract
""",
    "loans": """\
ref,borrower,product,currency,principal,opened_on,basis
CN-1,C1,personal,CNY,12000,2025-06-20,schedule
US-1,U1,card,USD,3000,2024-05-01,account
""",
    "instalments": """\
loan,number,due_on,amount
CN-1,1,2025-12-20,1000
CN-1,2,2026-01-20,1000
CN-1,3,2026-02-20,1000
CN-1,4,2026-03-20,1000
""",
    "movements": """\
ref,loan,kind,amount,effective_on,recorded_at
P-1,CN-1,payment,1000,2025-12-20,2025-12-20T10:00:00+08:00
P-2,CN-1,payment,1000,2026-01-20,2026-01-20T10:00:00+08:00
""",
    "accounts": """\
loan,as_of_on,dpd,overdue,balance,min_payment,next_due_on
US-1,2026-03-01,12,120.00,974.63,29.24,2026-03-18
""",
    "consents": """\
ref,person,kind,scope,channels,endpoint,received_at,how
U1-sms,U1,consent,electronic,sms,+12125550102,2026-01-15T09:00:00+00:00,contract
U1-email,U1,consent,electronic,email,u1@example.com,2026-01-15T09:00:00+00:00,contract
""",
}


def write_book(folder: Path, **instead: str) -> Path:
    """Lay the book out as CSV files; `instead` gives another text for some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**FILES, **instead}.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def rehearse(workspace: Path) -> None:
    """Settings under which a development database may dial the first client's number, and no brake for two loans."""
    settings = workspace / "duecourse.yaml"
    more = 'allow_list: ["+12125550101"]\nbacklog_share_max: 1\n'
    settings.write_text(settings.read_text(encoding="utf-8") + more, encoding="utf-8")
