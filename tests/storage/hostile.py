"""Manifests as an attacker would write them."""

import hashlib
import json
from typing import Any

from tasks.storage.manifest import SCHEMA
from tasks.storage.store import Store

UNSAFE_PATHS = [
    "../up",
    "/root",
    "a/../b",
    "a//b",
    "./a",
    ".hidden",
    "a b",
    "a\\b",
    "a\nb",
    "a:b",
    "-rf",
    "",
    "a/",
    "é",
    "x" * 201,
    "/".join(["d" * 100] * 6),
    "model.bin",
    "model.PT",
    "x.pkl",
    "x.ckpt",
    "x.npy",
    "code/x.py",
    "x.so",
    "manifest.json",
    "Manifest.JSON",
]


def publish_by_hand(store: Store, files: dict[str, Any]) -> str:
    """Publish a manifest without its files; return its version."""
    data = json.dumps(
        {"schema": SCHEMA, "name": "jokes", "files": files}, sort_keys=True, separators=(",", ":")
    ).encode()
    version = hashlib.sha256(data).hexdigest()
    store.write(store.key("jokes", "versions", version, "manifest.json"), data)
    return version
