"""Aliases: names such as `latest` that move from version to version, the only objects of a release that change.

An alias is one small JSON object {version, previous, seq, nonce, published_at, meta, restores, history}. Its moves are
ordered by `seq`, never by time; `nonce` identifies the writer; `history` allows a rollback move by move. Where the
store has conditional PUTs, an alias moves by compare-and-swap, and concurrent publishers are counted one after the
other. Elsewhere the PUT is unconditional and read back; another publisher that writes after that wins unnoticed, so
such a store needs one publisher at a time.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tasks.errors import InputError, UnavailableError
from tasks.storage.conditional import find_etag_format
from tasks.storage.listing import list_objects
from tasks.storage.names import check_alias, check_name, is_version
from tasks.storage.store import Store

MAX_HISTORY = 1000
"""Moves that an alias keeps."""
_TRIES = 30
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Move:
    """One move of an alias; `published_at` is UTC in ISO 8601, `restores` the `seq` that a rollback went back to."""

    version: str
    seq: int
    published_at: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    restores: int | None = None

    @property
    def origin(self) -> int:
        """The `seq` of the move that first named this version: its own, or after a rollback the restored one."""
        return self.seq if self.restores is None else self.restores


@dataclass(frozen=True)
class Alias(Move):
    """The state of one alias: its last move, and the earlier ones (oldest first)."""

    previous: str | None = None
    """The version before the last move."""
    nonce: str = ""
    history: tuple[Move, ...] = ()

    @property
    def before(self) -> Move | None:
        """The move that a rollback goes back to; each further rollback goes back one more."""
        return next((move for move in reversed(self.history) if move.seq < self.origin), None)


def read_alias(store: Store, name: str, alias: str) -> Alias | None:
    """The state of `alias` of release `name`, None if it does not exist.

    Raises:
        InputError: the object is not a valid alias.
    """
    key = _key(store, name, alias)
    with store.explain_errors():
        data = store.read(key)
    return None if data is None else _parse(data, key)


def list_aliases(store: Store, name: str) -> dict[str, Alias]:
    """Every alias of `name`, by name; for display and pruning, never for reading a release."""
    prefix = store.key(check_name(name), "aliases", "")
    with store.explain_errors():
        keys = [key for key, _ in list_objects(store, name, "aliases") if key.endswith(".json")]
    names = sorted(key.removeprefix(prefix).removesuffix(".json") for key in keys)
    found = {alias: read_alias(store, name, alias) for alias in names}
    return {alias: state for alias, state in found.items() if state is not None}


def move_alias(store: Store, name: str, alias: str, version: str, meta: Mapping[str, Any] | None = None) -> Alias:
    """Move `alias` to `version` and return its new state; nothing is written if it names that version already.

    The caller has checked that the version is complete.

    Raises:
        UnavailableError: another publisher moved the alias at the same time and the store has no conditional PUT, or
            others keep moving it.
    """

    def decide(current: Alias | None) -> Alias | None:
        return None if current is not None and current.version == version else _next_state(current, version, meta)

    return _change(store, name, alias, decide)


def roll_back_alias(store: Store, name: str, alias: str, is_complete: Callable[[str], bool]) -> Alias:
    """Move `alias` back to the version that it named before and return its new state; called again, one further back.

    Raises:
        InputError: there is no such alias, it never named another version, or that version is no longer complete.
        UnavailableError: as `move_alias`.
    """

    def decide(current: Alias | None) -> Alias:
        if current is None:
            raise InputError(f"{store.location} has no alias {alias} of {name}: there is nothing to roll back")
        back = current.before
        if back is None:
            raise InputError(
                f"the alias {alias} of {name} has named no version before {current.version[:12]}: promote another one"
            )
        if not is_complete(back.version):
            raise InputError(
                f"the alias {alias} of {name} named {back.version[:12]} before, which {store.location} no longer "
                "holds: promote another version"
            )
        return _next_state(current, back.version, back.meta, restores=back.origin)

    return _change(store, name, alias, decide)


def delete_alias(store: Store, name: str, alias: str) -> None:
    """Delete the alias; the versions stay."""
    with store.explain_errors():
        store.client.delete_object(Bucket=store.bucket, Key=_key(store, name, alias))


def _change(store: Store, name: str, alias: str, decide: Callable[[Alias | None], Alias | None]) -> Alias:
    """Write the state that `decide` returns for the current one; None leaves the alias as it is."""
    key = _key(store, name, alias)
    with store.explain_errors():
        for tries in range(_TRIES):
            found = store.read_with_etag(key)
            current = _parse(found[0], key) if found else None
            wanted = decide(current)
            held = current if wanted is None else _write(store, name, key, wanted, etag=found[1] if found else None)
            if held is not None:
                return held
            time.sleep(random.uniform(0, _PAUSE_S * (tries + 1)))  # noqa: S311 not for secrets
    raise UnavailableError(f"the alias {alias} of {name} is moved by other publishers again and again: try later")


def _next_state(
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
    return Move(alias.version, alias.seq, alias.published_at, alias.meta, alias.restores)


def _write(store: Store, name: str, key: str, wanted: Alias, *, etag: str | None) -> Alias | None:
    """The state after the PUT; None where another publisher was faster and nothing was written."""
    data = json.dumps(asdict(wanted), sort_keys=True, indent=1).encode()
    etag_format = find_etag_format(store, name)
    if etag_format is not None:
        return wanted if store.compare_and_swap(key, data, etag=None if etag is None else etag_format(etag)) else None
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
    """Parse and validate an alias that another program may have written; InputError where it is not valid."""
    advice = "publish again under another alias, or delete it"
    try:
        content = json.loads(data)
        history = tuple(Move(**move) for move in content.pop("history", ()))
        if not history and content.get("previous"):  # by another program
            history = (Move(content["previous"], content["seq"] - 1, content["published_at"]),)
        alias = Alias(**content, history=history)
        valid = isinstance(alias.nonce, str) and (alias.previous is None or is_version(alias.previous))
        valid = valid and all(map(_is_valid, (alias, *history)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{key} is not a valid alias: {error}; {advice}") from error
    if not valid:
        raise InputError(f"{key} is not a valid alias: its fields are wrong; {advice}")
    return alias


def _is_valid(move: Move) -> bool:
    numbers = type(move.seq) is int and (move.restores is None or type(move.restores) is int)
    return is_version(move.version) and numbers and isinstance(move.published_at, str) and isinstance(move.meta, dict)
