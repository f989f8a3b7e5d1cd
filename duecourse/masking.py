"""What is shown of a number or an address where nobody needs all of it: enough to tell it from the others."""


def masked(kind: str, value: str) -> str:
    """
    A number by its last digits, a mail address by its first letters and the end of its domain, nothing of a postal address.

    Args:
        kind: mobile, landline, email or postal.
    """
    if kind == "email":
        name, _, domain = value.rpartition("@")
        host, _, end = domain.rpartition(".")
        return f"{name[:1]}***@{host[:1]}***.{end}"
    # Of a short number fewer digits, so that most of it stays hidden.
    shown = min(4, len(value) // 3)
    return f"***{value[-shown:]}" if kind in ("mobile", "landline") and shown else "***"
