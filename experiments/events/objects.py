"""A table's files where they lie, a folder or an object store.

Those of an object store are fetched to this machine to be worked on, and sent there before the log speaks of them,
through deltalake's own storage layer: the same options and credentials hold as for the log.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow.fs as pf
from deltalake.fs import DeltaStorageHandler

_PIECE = 8 << 20
"""Bytes copied at a time."""


class Objects:
    """The files of one table, by their paths from the table's folder on."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        if "://" in uri:
            self._store: pf.FileSystem = pf.PyFileSystem(DeltaStorageHandler(uri, dict(options)))
        else:
            self._store = pf.SubTreeFileSystem(uri, pf.LocalFileSystem())

    def fetch(self, path: str, folder: Path) -> Path:
        """A copy of a file under the same path in a folder."""
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._store.open_input_file(path) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, _PIECE)
        return target

    def send(self, file: Path, path: str) -> None:
        """A file of this machine under that path."""
        with file.open("rb") as source, self._store.open_output_stream(path) as target:
            shutil.copyfileobj(source, target, _PIECE)

    def text(self, path: str) -> str:
        """What a file says."""
        with self._store.open_input_file(path) as source:
            return bytes(source.read()).decode()

    def remove(self, path: str) -> None:
        """A file, where it is there."""
        if self._store.get_file_info(path).type == pf.FileType.File:
            self._store.delete_file(path)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Every file's size, by path."""
        found = self._store.get_file_info(pf.FileSelector(folder, allow_not_found=True, recursive=True))
        return {each.path: each.size for each in found if each.type == pf.FileType.File}
