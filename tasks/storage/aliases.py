"""Aliases: the names that move, and the only objects that ever change.

What comes in: a release name, an alias and the version that it shall name. What it leaves: one small JSON object,
{version, previous, seq, nonce, published_at, meta}. Aliases are ordered by `seq`, never by time. `nonce` tells who
wrote it: after a PUT the object is read back, and another nonce means that another publisher was quicker or later.

Compromise: the PUT is unconditional, so of two publishers at the same moment one can lose without being told, if the
other writes after the first has read back. A compare-and-swap on the ETag removes this where the server has one.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.names import check_alias, check_name, is_version
from tasks.storage.store import Store


@dataclass(frozen=True)
class Alias:
    """What one alias says; `previous` is the version that it named before, `published_at` is UTC in ISO 8601."""

    version: str
    previous: str | None
    seq: int
    nonce: str
    published_at: str
    meta: Mapping[str, Any] = field(default_factory=dict)


def read_alias(store: Store, name: str, alias: str) -> Alias | None:
    """What `alias` of release `name` says, None if it does not exist.

    Raises:
        InputError: the object is not what an alias may be.
    """
    key = _key(store, name, alias)
    with store.explained():
        data = store.read(key)
    return None if data is None else _parse(data, key)


def move_alias(store: Store, name: str, alias: str, version: str, meta: Mapping[str, Any] | None = None) -> Alias:
    """Let `alias` name `version`, and return what it says then; if it names it already, nothing is written.

    The caller has made sure that the version is complete.

    Raises:
        UnavailableError: another publisher moved the alias at the same time.
    """
    key = _key(store, name, alias)
    current = read_alias(store, name, alias)
    if current is not None and current.version == version:
        return current
    wanted = Alias(
        version=version,
        previous=current.version if current else None,
        seq=current.seq + 1 if current else 1,
        nonce=uuid.uuid4().hex,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        meta=dict(meta or {}),
    )
    with store.explained():
        held = _parse(store.write(key, json.dumps(asdict(wanted), sort_keys=True, indent=1).encode()), key)
    if held.nonce != wanted.nonce and held.version != version:
        raise UnavailableError(
            f"the alias {alias} of {name} was moved to {held.version[:12]} by another publisher meanwhile: try again"
        )
    return held


def _key(store: Store, name: str, alias: str) -> str:
    return store.key(check_name(name), "aliases", f"{check_alias(alias)}.json")


def _parse(data: bytes, key: str) -> Alias:
    try:
        alias = Alias(**json.loads(data))
        sound = is_version(alias.version) and (alias.previous is None or is_version(alias.previous))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{key} is no alias: {error}; publish again under another alias, or delete it") from error
    if not sound or type(alias.seq) is not int or not isinstance(alias.nonce, str) or not isinstance(alias.meta, dict):
        raise InputError(f"{key} is no alias: its fields are wrong; publish again under another alias, or delete it")
    return alias
