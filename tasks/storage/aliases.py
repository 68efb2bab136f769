"""Aliases: the names that move, and the only objects that ever change.

What comes in: a release name, an alias and the version that it shall name. What it leaves: one small JSON object,
{version, previous, seq, nonce, published_at, meta, restores, history}. Aliases are ordered by `seq`, never by time.
`nonce` tells who wrote it; `history` holds the moves before this one, so an alias can be rolled back move by move.

Where the store has conditional PUTs, an alias moves by compare-and-swap: of publishers at the same moment each is
counted, one after the other, and none is lost. Where it has none, the PUT is unconditional and read back, and another
nonce means that another publisher was quicker or later; if the other writes after that, the first loses without being
told, so such a store wants one publisher at a time.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.conditional import find_spelling
from tasks.storage.names import check_alias, check_name, is_version
from tasks.storage.store import Store

MAX_HISTORY = 1000
"""Moves that an alias remembers."""
_TRIES = 30
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Move:
    """One move of an alias; `published_at` is UTC in ISO 8601, `restores` the move that a rollback went back to."""

    version: str
    seq: int
    published_at: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    restores: int | None = None

    @property
    def place(self) -> int:
        """The move whose version this one names: its own `seq`, of a rollback that of the move it went back to."""
        return self.seq if self.restores is None else self.restores


@dataclass(frozen=True)
class Alias(Move):
    """What one alias says: its last move, and those before it (the first one in front)."""

    previous: str | None = None
    """The version that it named before."""
    nonce: str = ""
    history: tuple[Move, ...] = ()

    @property
    def before(self) -> Move | None:
        """The move that a rollback goes back to; of several rollbacks each goes back one move further."""
        return next((move for move in reversed(self.history) if move.seq < self.place), None)


def read_alias(store: Store, name: str, alias: str) -> Alias | None:
    """What `alias` of release `name` says, None if it does not exist.

    Raises:
        InputError: the object is not what an alias may be.
    """
    key = _key(store, name, alias)
    with store.explained():
        data = store.read(key)
    return None if data is None else _parse(data, key)


def list_aliases(store: Store, name: str) -> dict[str, Alias]:
    """Every alias of `name`, by name; for people and for pruning, never for reading a release."""
    prefix = store.key(check_name(name), "aliases", "")
    with store.explained():
        pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    names = sorted(key.removeprefix(prefix).removesuffix(".json") for key in keys if key.endswith(".json"))
    found = {alias: read_alias(store, name, alias) for alias in names}
    return {alias: said for alias, said in found.items() if said is not None}


def move_alias(store: Store, name: str, alias: str, version: str, meta: Mapping[str, Any] | None = None) -> Alias:
    """Let `alias` name `version`, and return what it says then; if it names it already, nothing is written.

    The caller has made sure that the version is complete.

    Raises:
        UnavailableError: another publisher moved the alias at the same time and the store has no conditional PUT, or
            others move it all the time.
    """

    def decide(current: Alias | None) -> Alias | None:
        return None if current is not None and current.version == version else _following(current, version, meta)

    return _change(store, name, alias, decide)


def roll_back(store: Store, name: str, alias: str, is_complete: Callable[[str], bool]) -> Alias:
    """Let `alias` name the version that it named before, and return what it says then; called again, the one before.

    Raises:
        InputError: there is no such alias, it never named another version, or `is_complete` says that the version is
            not there any more.
        UnavailableError: as `move_alias`.
    """

    def decide(current: Alias | None) -> Alias:
        if current is None:
            raise InputError(f"{store.place} has no alias {alias} of {name}: nothing can be rolled back")
        back = current.before
        if back is None:
            raise InputError(
                f"the alias {alias} of {name} has named no version before {current.version[:12]}: promote another one"
            )
        if not is_complete(back.version):
            raise InputError(
                f"the alias {alias} of {name} named {back.version[:12]} before, which {store.place} does not hold any "
                "more: promote another version"
            )
        return _following(current, back.version, back.meta, restores=back.place)

    return _change(store, name, alias, decide)


def delete_alias(store: Store, name: str, alias: str) -> None:
    """Let there be no such alias; the versions stay."""
    with store.explained():
        store.client.delete_object(Bucket=store.bucket, Key=_key(store, name, alias))


def _change(store: Store, name: str, alias: str, decide: Callable[[Alias | None], Alias | None]) -> Alias:
    """Write what `decide` makes of what the alias says now; None leaves it as it is."""
    key = _key(store, name, alias)
    with store.explained():
        for tries in range(_TRIES):
            found = store.read_tagged(key)
            current = _parse(found[0], key) if found else None
            wanted = decide(current)
            held = current if wanted is None else _write(store, name, key, wanted, etag=found[1] if found else None)
            if held is not None:
                return held
            time.sleep(random.uniform(0, _PAUSE_S * (tries + 1)))  # noqa: S311 not for secrets
    raise UnavailableError(f"the alias {alias} of {name} is moved by other publishers all the time: try again")


def _following(
    current: Alias | None, version: str, meta: Mapping[str, Any] | None, *, restores: int | None = None
) -> Alias:
    return Alias(
        version=version,
        previous=current.version if current else None,
        seq=current.seq + 1 if current else 1,
        nonce=uuid.uuid4().hex,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        meta=dict(meta or {}),
        restores=restores,
        history=(*current.history, _last_move(current))[-MAX_HISTORY:] if current else (),
    )


def _last_move(alias: Alias) -> Move:
    return Move(**{one.name: getattr(alias, one.name) for one in fields(Move)})


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
    """An alias that somebody else wrote: InputError if anything in it is not sound."""
    wrong = "publish again under another alias, or delete it"
    try:
        content = json.loads(data)
        history = tuple(Move(**move) for move in content.pop("history", ()))
        if not history and content.get("previous"):  # what another program wrote
            history = (Move(content["previous"], content["seq"] - 1, content["published_at"]),)
        alias = Alias(**content, history=history)
        sound = isinstance(alias.nonce, str) and (alias.previous is None or is_version(alias.previous))
        sound = sound and all(map(_is_sound, (alias, *history)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{key} is no alias: {error}; {wrong}") from error
    if not sound:
        raise InputError(f"{key} is no alias: its fields are wrong; {wrong}")
    return alias


def _is_sound(move: Move) -> bool:
    numbers = type(move.seq) is int and (move.restores is None or type(move.restores) is int)
    return is_version(move.version) and numbers and isinstance(move.published_at, str) and isinstance(move.meta, dict)
