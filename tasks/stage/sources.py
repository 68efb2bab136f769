"""Sources: the files that a corpus is made of, on this machine or in an object store.

What comes in: a path, or `s3://bucket/folder/file.txt`. What it leaves: a file on this machine. An object is fetched to
`data/sources/<key>/` once for each state that its store tells (ETag and size): as long as that is the same it is not
fetched again, and whether its content has changed is decided by its bytes.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.observability.progress import transfer_bar
from tasks.settings import find_file, settings
from tasks.stage.folders import Facts, digest, make_folder, read_manifest
from tasks.units import size

if TYPE_CHECKING:
    from tasks.storage.objects import ObjectState, RemoteObject


def find_source(given: str) -> Path:
    """The file on this machine, fetched before where it lies in an object store.

    Raises:
        InputError: there is no such object, the store refuses, or the disk is full. A path may name no file.
        UnavailableError: the store does not answer.
    """
    if not given.startswith("s3://"):
        return find_file(given)
    from tasks.storage.objects import open_object

    with open_object(given) as source:
        state = source.state()
        folder = settings().data / "sources" / digest("source", given, state.etag, state.size)
        if read_manifest(folder) is None:
            print(f"source: {given} is fetched ({size(state.size)})")
            make_folder(folder, partial(_fill, source, state))
    return folder / _file_name(given)


def _fill(source: "RemoteObject", state: "ObjectState", folder: Path) -> Facts:
    done = 0
    with transfer_bar(f"fetching {source}") as bar:

        def show(more: int) -> None:
            nonlocal done
            done += more
            bar(done, state.size)

        source.download(folder / _file_name(str(source)), state, show)
    return {}


def _file_name(uri: str) -> str:
    """The last part of a key; it becomes the name of a file, so it may not be everything that a key may be."""
    from tasks.storage.names import check_segment

    return check_segment(uri.rpartition("/")[2], uri)
