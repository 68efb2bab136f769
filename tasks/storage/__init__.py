"""Releases in an object store: the client, a server of our own for folders, and the publish protocol.

What comes in: a folder of files to release, or a reference to a release. What it leaves: immutable versions and
movable aliases in a bucket (`publish`), or a verified folder on disk (`fetch`). Everything goes through S3, also when
the destination is a folder: then a small server runs over that folder while it is needed.

boto3 is imported only in this package, and it is heavy: import the package's modules inside functions.
"""
