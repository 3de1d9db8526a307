"""A table's files where they lie, a folder or an object store.

Those of an object store are fetched to this machine to be worked on, and sent there before the log speaks of them,
through deltalake's own storage layer: the same options and credentials hold as for the log.
"""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pf
from deltalake.fs import DeltaStorageHandler

_PIECE = 8 << 20
"""Bytes copied at a time."""


class _Handler(DeltaStorageHandler):
    """deltalake's, whose streams take nothing but bytes, while pyarrow hands its own buffers on."""

    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        return pa.PythonFile(_Bytes(self._handler.open_output_stream(path, metadata)))


class _Bytes:
    """A stream that makes bytes of what it is to write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:
        return int(self._stream.write(bytes(data)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Objects:
    """The files of one table, by their paths from the table's folder on."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        if "://" in uri:
            self._store: pf.FileSystem = pf.PyFileSystem(_Handler(uri, dict(options)))
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

    def sizes(self, folder: str = "", before: datetime | None = None) -> dict[str, int]:
        """Every file's size, by path; only of those last written before an instant where one is given."""
        wanted = pf.FileSelector(folder, allow_not_found=True, recursive=True)
        try:
            found = self._store.get_file_info(wanted)
        except FileNotFoundError:  # pyarrow looks twice where nothing is; somebody made the folder meanwhile
            found = self._store.get_file_info(wanted)
        files = [each for each in found if each.type == pf.FileType.File]
        return {each.path: each.size for each in files if before is None or each.mtime.timestamp() < before.timestamp()}
