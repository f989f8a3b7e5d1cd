"""What a broken HTTP exchange says for certain: surely nothing was sent, or nobody can tell."""

from typing import Final

from channels.message import Receipt

NO_LIST: Final = "no_list"
"""The code of a message in doubt that nobody can be asked about."""


def receipt_of_fault(error: Exception, provider: str, setting: str) -> Receipt:
    """
    A receipt for an exchange that ended without an answer.

    Args:
        setting: where the provider's address stands, for whoever has to mend it.
    """
    import aiohttp

    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return Receipt("retry", provider, "", "tls", "misconfigured", "the provider's certificate is not trusted")
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return Receipt("retry", provider, "", "url", "misconfigured", f"`{setting}` is no address")
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Receipt("retry", provider, "", "unreachable", "try_later", "the provider cannot be reached")
    if isinstance(error, TimeoutError):
        return in_doubt(provider, "timeout", "the provider did not answer in time")
    if isinstance(error, aiohttp.ClientError):
        return in_doubt(provider, "cut", "the connection broke while the provider had the message")
    return in_doubt(provider, "unreadable", f"the provider's answer cannot be read ({type(error).__name__})")


def in_doubt(provider: str, code: str, detail: str) -> Receipt:
    """A receipt for what may have gone out."""
    return Receipt("unknown", provider, "", code, "unclear", detail)


def no_list(provider: str) -> Receipt:
    """What is known of a message in doubt where its provider cannot be asked about it at all."""
    return in_doubt(provider, NO_LIST, "the provider keeps no list of messages that could be asked")
