"""
A recorded reminder call: what is said, which keys it takes, and what came of it.

Whoever picks up hears the text, also a machine, so it says nothing that only the addressee may know. The keys lead to a
person and end these calls; a call without the second is not made. Whether the addressee agreed to recorded calls
is the gate's to judge (`prerecorded: true` in what it is asked).
Source: 47 CFR 64.1200(a)(3), (b)(3): an automated, key-press way to opt out in every such call.
"""

from typing import Final, Literal

from channels.message import Message
from channels.reports import CallOutcome, Delivery

TWIML_MAX: Final = 4000
"""Characters the provider takes with a call."""
KEYS: Final[dict[str, Literal["talk", "stop", "repeat"]]] = {"1": "talk", "2": "repeat", "9": "stop"}
_KEY_SECONDS: Final = 8

_VOICE: Final = {"en": "en-US", "zh": "cmn-CN"}
_OFFER: Final = {
    "en": "Press 1 to speak with us now. Press 2 to hear this again. Press 9 to receive no more recorded calls.",
    "zh": "按1与我们的工作人员通话，按2重听，按9不再接收此类语音来电。",
}
_CONNECTING: Final = {"en": "One moment, please.", "zh": "请稍候。"}
_STOPPED: Final = {
    "en": "You will receive no more recorded calls from us. Goodbye.",
    "zh": "我们不会再向您拨打语音来电。再见。",
}
_BYE: Final = {"en": "Goodbye.", "zh": "再见。"}


def reminder(message: Message, keys_url: str) -> str:
    """
    What the provider does once somebody, or something, picks up.

    Args:
        keys_url: where a pressed key is posted.
    """
    from twilio.twiml.voice_response import Gather, VoiceResponse

    language = _language(message.language)
    response = VoiceResponse()
    # Twice over: somebody may need a moment to find the key.
    for _ in range(2):
        gather = Gather(num_digits=1, action=keys_url, method="POST", timeout=_KEY_SECONDS)
        gather.say(message.text, language=_VOICE[language])
        gather.say(_OFFER[language], language=_VOICE[language])
        response.append(gather)
    response.say(_BYE[language], language=_VOICE[language])
    response.hangup()
    return str(response)


def after_key(wish: str, message: Message, keys_url: str, connect_to: str) -> str:
    """
    What follows a pressed key, for whoever answers the provider's request.

    Args:
        wish: as in `KeyPressed`; one that is unknown hears the call again.
        connect_to: the number of the people who answer.
    """
    from twilio.twiml.voice_response import VoiceResponse

    language = _language(message.language)
    if wish not in ("talk", "stop"):
        return reminder(message, keys_url)
    response = VoiceResponse()
    response.say((_CONNECTING if wish == "talk" else _STOPPED)[language], language=_VOICE[language])
    if wish == "talk":
        response.dial(connect_to)
    else:
        response.hangup()
    return str(response)


def _language(code: str) -> str:
    short = code.replace("_", "-").partition("-")[0].lower()
    return short if short in _VOICE else "en"


_UNDER_WAY: Final = ("queued", "initiated", "ringing", "in-progress")


def call_came_to(status: str, answered_by: str) -> tuple[Delivery, CallOutcome] | None:
    """
    What a call's status says, in our words; None for one that is not known here.

    Args:
        status: the provider's `CallStatus`.
        answered_by: its `AnsweredBy`; empty: it did not listen for machines. Where it could not tell, somebody heard
            the call: limits count that like a conversation, and those are the strict ones.
    """
    if status in _UNDER_WAY:
        return "sent", ""
    if status == "completed":
        machine = answered_by.startswith("machine") or answered_by == "fax"
        return "delivered", "voicemail" if machine else "heard"
    if status == "busy":
        return "delivered", "busy"
    if status == "no-answer":
        return "delivered", "no_answer"
    if status in ("failed", "canceled"):
        return "failed", ""
    return None
