"""Aliases: the names that move, and the only objects that ever change.

What comes in: a release name, an alias and the version that it shall name. What it leaves: one small JSON object,
{version, previous, seq, nonce, published_at, meta}. Aliases are ordered by `seq`, never by time. `nonce` tells who
wrote it.

Where the store has conditional PUTs, an alias moves by compare-and-swap: of publishers at the same moment each is
counted, one after the other, and none is lost. Where it has none, the PUT is unconditional and read back, and another
nonce means that another publisher was quicker or later; if the other writes after that, the first loses without being
told, so such a store wants one publisher at a time.
"""

import json
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.conditional import find_spelling
from tasks.storage.names import check_alias, check_name, is_version
from tasks.storage.store import Store

_TRIES = 30
_PAUSE_S = 0.02


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
        UnavailableError: another publisher moved the alias at the same time and the store has no conditional PUT, or
            others move it all the time.
    """
    key = _key(store, name, alias)
    with store.explained():
        for tries in range(_TRIES):
            found = store.read_tagged(key)
            current = _parse(found[0], key) if found else None
            if current is not None and current.version == version:
                return current
            wanted = _following(current, version, meta)
            held = _write(store, name, key, wanted, etag=found[1] if found else None)
            if held is not None:
                return held
            time.sleep(random.uniform(0, _PAUSE_S * (tries + 1)))  # noqa: S311 not for secrets
    raise UnavailableError(f"the alias {alias} of {name} is moved by other publishers all the time: try again")


def _following(current: Alias | None, version: str, meta: Mapping[str, Any] | None) -> Alias:
    return Alias(
        version=version,
        previous=current.version if current else None,
        seq=current.seq + 1 if current else 1,
        nonce=uuid.uuid4().hex,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        meta=dict(meta or {}),
    )


def _write(store: Store, name: str, key: str, wanted: Alias, *, etag: str | None) -> Alias | None:
    """What the alias says after the PUT; None where another publisher was quicker and nothing was written."""
    data = json.dumps(asdict(wanted), sort_keys=True, indent=1).encode()
    spelling = find_spelling(store, name)
    if spelling is not None:
        return wanted if store.swap(key, data, over=None if etag is None else spelling(etag)) else None
    held = _parse(store.write(key, data), key)
    if held.nonce != wanted.nonce and held.version != wanted.version:
        alias = key.rpartition("/")[2].removesuffix(".json")
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
