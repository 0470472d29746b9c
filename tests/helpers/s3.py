"""The bucket of the S3 server that tests/conftest.py starts."""

SECRET = "this-is-the-secret-key"


def bucket_uri(s3: str, folder: str) -> str:
    """A folder of the bucket as --results takes it."""
    return f"s3://bucket/{folder}?endpoint_override={s3}&scheme=http&region=us-east-1"
