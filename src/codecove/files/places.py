"""Where the blobs are, from the settings."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from codecove.settings import Settings


class UnsupportedPlace(Exception):
    """The settings name no place where blobs can be. The message says what to change."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, or what lies below a prefix in it, of a server that speaks S3."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


def blob_place(settings: Settings) -> Path | S3Place:
    """The folder or bucket that the settings mean. Raises `UnsupportedPlace`."""
    if settings.blob_url is None:
        return settings.data_dir / "blobs"
    url = urlsplit(settings.blob_url)
    if url.scheme != "s3" or not url.netloc:
        raise UnsupportedPlace("COVE_BLOB_URL: expected s3://bucket or s3://bucket/prefix")
    if settings.s3_access_key_id is None or settings.s3_secret_access_key is None:
        raise UnsupportedPlace("COVE_BLOB_URL needs COVE_S3_ACCESS_KEY_ID and COVE_S3_SECRET_ACCESS_KEY")
    return S3Place(
        bucket=url.netloc,
        prefix=url.path.strip("/"),
        endpoint=settings.s3_endpoint or f"https://s3.{settings.s3_region}.amazonaws.com",
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
