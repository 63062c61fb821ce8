"""Buckets for tests."""

from __future__ import annotations

from obstore.store import S3Store


def unreachable_bucket() -> S3Store:
    """Return a bucket of a store that can't be reached; each request fails at once."""
    return S3Store(
        "bucket",
        endpoint="http://127.0.0.1:9",
        access_key_id="a",
        secret_access_key="b",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
