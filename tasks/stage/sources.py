"""Source files of a corpus, on this machine or in an object store.

An object is fetched to `data/sources/<key>/`, and again when its ETag or size have changed. The corpus's key depends on
the bytes alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.observability.progress import transfer_bar
from tasks.settings import find_file, settings
from tasks.stage.folders import Facts, digest, make_folder, read_manifest
from tasks.units import size

if TYPE_CHECKING:
    from tasks.storage.objects import ObjectState, RemoteObject


def find_source(given: str) -> Path:
    """The path of a source on this machine; an object (`s3://bucket/folder/file.txt`) is fetched.

    Raises:
        InputError: the object does not exist, the store refuses access, or the disk is full. A path is not checked.
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
            make_folder(folder, lambda partial: _fetch(source, state, partial))
    return folder / _file_name(given)


def _fetch(source: "RemoteObject", state: "ObjectState", folder: Path) -> Facts:
    done = 0
    with transfer_bar(f"fetching {source}") as bar:

        def on_progress(more: int) -> None:
            nonlocal done
            done += more
            bar(done, state.size)

        source.download(folder / _file_name(str(source)), state, on_progress)
    return {}


def _file_name(uri: str) -> str:
    """The last part of an object's key, checked, since it becomes the name of a file."""
    from tasks.storage.names import check_segment

    return check_segment(uri.rpartition("/")[2], uri)
