"""Normalises a document (Unicode form NFC), and computes the digest that it is compared, shuffled and split by."""

import unicodedata
from hashlib import blake2b

from tasks.dataset.text_files import BYTE_ORDER_MARK


def normalise(text: str, *, collapse_whitespace: bool = False) -> str:
    """Return the text in Unicode form NFC without byte order mark and final line ends.

    Case is kept, and so is all other white space unless it is collapsed: then every run of it is one space, with none
    at either end. normalise(normalise(text)) == normalise(text).
    """
    text = text.lstrip(BYTE_ORDER_MARK).rstrip("\r\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split()) if collapse_whitespace else text


def fold_case(text: str) -> str:
    """Return the form in which texts are equal that differ in case only (Unicode's canonical caseless match, D145)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def new_digest(seed: int) -> blake2b:
    """Return the hash, still empty, that documents are compared and ordered by: `update` a copy of it with UTF-8.

    blake2b of 16 bytes, keyed by the seed in decimal digits. This is a format: the split of every corpus depends on
    it, and tools like `b2sum` can check it.
    """
    return blake2b(digest_size=16, key=str(seed).encode())


def document_digest(document: str, *, seed: int) -> bytes:
    """Return the 16 bytes of `new_digest` over the document."""
    digest = new_digest(seed)
    digest.update(document.encode())
    return digest.digest()
