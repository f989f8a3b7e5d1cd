"""Who may ask: whoever knows the token."""

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr


def may(header: str, tokens: "Sequence[SecretStr | None]") -> bool:
    """Whether an `Authorization` header bears one of these tokens; None is nobody's."""
    scheme, _, given = header.partition(" ")
    known = [token.get_secret_value() for token in tokens if token is not None]
    # Every one is compared, in constant time: how long it takes says nothing.
    same = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in known]
    return scheme.lower() == "bearer" and any(same)
