"""Releases in an object store: an S3 client, an embedded server for folders, and the protocol of `README.md`.

What comes in: a folder of files to publish, or a reference to a release. What it leaves: immutable versions and movable
aliases in a bucket (`publish`), or a verified folder on disk (`fetch`).

boto3 is heavy and imported only in this package, so import its modules inside functions.
"""
