"""The bucket a person falls in: it deals strategy arms and never changes."""

import hmac
from hashlib import sha256
from typing import Final

from workflows.importing.delivery import Delivery

_BUCKETS: Final = 10_000


def bucket_of(key: str, ref: str) -> int:
    """The bucket (0-9999) of a reference: a keyed hash, the same for ever."""
    digest = hmac.digest(key.encode(), ref.encode(), sha256)
    return int.from_bytes(digest[:8], "big") % _BUCKETS


def register_buckets(delivery: Delivery) -> None:
    """Make `bucket_of`: ref, bucket."""
    import pyarrow as pa

    refs = delivery.values("select ref from good")
    buckets = [bucket_of(delivery.bucket_key, ref) for ref in refs]
    table = pa.table({"ref": pa.array(refs, pa.string()), "bucket": pa.array(buckets, pa.int64())})
    delivery.con.register("bucket_of", table)
