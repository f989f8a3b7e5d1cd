"""A verdict as a sentence that a person understands, in English or Chinese."""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from engine.gate import Reason, Verdict

Language = Literal["en", "zh"]

_STATUS_EN = {
    "law": "",
    "presumption": "; the law presumes a violation",
    "guidance": "; recommended practice",
    "draft": "; a draft, followed as if in force",
    "house": "; house policy",
    "gate": "",
}
_STATUS_ZH = {
    "law": "",
    "presumption": "；法律推定违规",
    "guidance": "；行业推荐做法",
    "draft": "；草案，视同生效",
    "house": "；机构内部规定",
    "gate": "",
}


def sentence(verdict: Verdict, language: str, zone: str = "UTC") -> str:
    """
    What the gate answered and why, the decisive reason first.

    Args:
        language: `zh` for Chinese; anything else is English.
        zone: the IANA zone in which times are written, named beside them.
    """
    chinese = language.startswith("zh")
    if verdict.outcome == "allow":
        return "可以联系：没有规则禁止。" if chinese else "Allowed: no rule stands against it."
    until = _clock(verdict.until, zone) if verdict.until else ""
    if verdict.outcome == "defer":
        head = f"{until} 之后方可：" if chinese else f"Not before {until}: "
    else:
        head = "不允许：" if chinese else "Not allowed: "
    # A refusal is explained by what refuses; what would only have delayed it is beside the point.
    decisive = [reason for reason in verdict.reasons if reason.outcome == verdict.outcome]
    return head + ("" if chinese else " ").join(_reason(reason, zone, chinese=chinese) for reason in decisive)


def _reason(reason: Reason, zone: str, *, chinese: bool) -> str:
    says = reason.says_zh or reason.says if chinese else reason.says
    status = (_STATUS_ZH if chinese else _STATUS_EN).get(reason.status, "")
    notes = f"{reason.citation}{status}"
    if reason.until:
        when = _clock(reason.until, zone)
        notes += f"；至 {when}" if chinese else f"; until {when}"
    if not notes:
        return says
    stop = "。" if chinese else "."
    bracket = f"（{notes}）" if chinese else f" ({notes})"
    return f"{says.rstrip('。.')}{bracket}{stop}"


def _clock(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"
