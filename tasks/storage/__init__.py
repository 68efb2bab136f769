"""Releases in an object store: an S3 client, an embedded server for folders, and the protocol of `README.md`.

What comes in: a folder of files to publish, or a reference to a release. What it leaves: immutable versions and movable
aliases in a bucket (`publish`), or a verified folder on disk (`fetch`).

Only this package imports boto3, which takes a quarter of a second: import its modules inside functions.
"""
