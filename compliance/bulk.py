"""
The gate for a whole book at one instant: who asks the same is answered once.

Most of a book has one of a few signatures: no contact that could count, plain hours, a standing endpoint.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from compliance.gate import Gate, Ready
from compliance.plan import Plan
from compliance.signature import Signer
from engine.gate import Ask, Source, Verdict

_KEPT_MAX: Final = 1_000_000
_ALLOW: Final = Verdict("allow")


@dataclass(slots=True)
class Asked:
    """
    How a book's questions were answered.

    Attributes:
        all: how many there were.
        in_bulk: answered by their signature alone: an ask with the same one was allowed before.
        signatures: distinct ones that the rules were asked about.
    """

    all: int = 0
    in_bulk: int = 0
    signatures: int = 0


class BulkGate:
    """
    Answers as the gate it is made from, and asks it about each signature once.

    Only permits are remembered: whoever is put off or refused has reasons and an instant of their own.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._signers: dict[Plan, Signer] = {}
        self._allowed: dict[Hashable, bool] = {}
        self.asked = Asked()

    def __reduce__(self) -> tuple[type["BulkGate"], tuple[Gate]]:
        """To another process it goes without what it remembers."""
        return BulkGate, (self._gate,)

    @property
    def digest(self) -> str:
        """That of the gate."""
        return self._gate.digest

    @property
    def sources(self) -> tuple[Source, ...]:
        """Those of the gate."""
        return self._gate.sources

    def check(self, ask: Ask, now: datetime) -> Verdict:
        """Answer for one act at one aware instant; never raises for odd data."""
        self.asked.all += 1
        ready = self._gate.ready(ask, now)
        if not isinstance(ready, Ready):
            return ready
        key = self._key(ready)
        if key is not None and self._allowed.get(key):
            self.asked.in_bulk += 1
            return _ALLOW
        verdict = self._gate.judge(ready)
        if key is not None and key not in self._allowed:
            self.asked.signatures += 1
            if len(self._allowed) >= _KEPT_MAX:
                self._allowed.clear()
            self._allowed[key] = verdict.outcome == "allow"
        return verdict

    def _key(self, ready: Ready) -> Hashable | None:
        plan = ready.plan
        signer = self._signers.get(plan)
        if signer is None:
            signer = self._signers[plan] = Signer(plan, ready.look.ask.role)
        try:
            signature = signer.sign(ready.look, ready.at)
        except Exception:  # noqa: BLE001  odd data: the gate itself says what it means
            return None
        return None if signature is None else (plan, signature)
