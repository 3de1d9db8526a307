"""Spark in this process: one session, begun when it is first needed, stopped at the end, heard of when it fails."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from experiments.core.errors import ExperimentError, StorageFailure

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_JAVA = 17

_QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
"""Unless told otherwise."""
_MEANING = {
    "spark.sql.ansi.enabled": "true",  # what overflows is an error
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",  # days are what the file says, whoever wrote it
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.cleaner.referenceTracking.cleanCheckpoints": "true",
    # What it knows of a checkpoint names columns that the checkpoint has not, and a union over that fails ("key not
    # found: unit#36L", Spark 4.3). Without it no filters are inferred, which nothing here needs.
    "spark.sql.constraintPropagation.enabled": "false",
}
"""Whatever is told: evidence depends on it."""

_OUT_OF_MEMORY = ("OutOfMemoryError", "Java heap space", "GC overhead limit")
_NO_CONNECTOR = ("No FileSystem for scheme", "ClassNotFoundException: Class org.apache.hadoop.fs")
_DISK_FULL = ("No space left on device", "quota exceeded")
_UNREADABLE = ("PATH_NOT_FOUND", "FileNotFoundException", "FAILED_READ_FILE", "CANNOT_READ_FILE", "AccessDenied")


def check_installed() -> str:
    """What of Spark is there.

    Raises:
        ExperimentError: where anything is missing, saying what to install.
    """
    try:
        import pyspark
    except ImportError:
        raise ExperimentError(
            "Spark is not installed: pip install 'adstyle[spark]', or leave `engine` under [stores] in adstyle.toml out"
        ) from None
    install = f"Spark needs Java {OLDEST_JAVA} or later: install it (Debian: apt install default-jre-headless)"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if java is None:
        raise ExperimentError(f"{install}; none is {f'in JAVA_HOME ({home})' if home else 'on the PATH'}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found and int(found[1]) < OLDEST_JAVA:
        raise ExperimentError(f"{install}; {java} is {found[1]}")
    return f"Spark {pyspark.__version__}, Java {found[1] if found else 'of unknown version'}"


@contextmanager
def one_session(master: str, options: Mapping[str, str]) -> Iterator["SparkSession"]:
    """The process's session, for one caller at a time; what it holds for them is let go afterwards.

    Raises:
        ExperimentError: where Spark is not there, does not start or cannot do what it is asked.
        StorageFailure: where it cannot read a file, or its disk is full.
    """
    with _process.lock:
        check_installed()
        from py4j.protocol import Py4JError

        session = _process.session(master, _QUIET | dict(options) | _MEANING)
        with _failures():
            try:
                yield session
            except BaseException:
                with suppress(Py4JError, OSError):
                    session.sparkContext.cancelAllJobs()
                raise
            finally:
                with suppress(Py4JError, OSError):  # where Spark is gone, so is what it held
                    _let_go(session)


def _let_go(session: "SparkSession") -> None:
    for view in session.sql("SHOW VIEWS").collect():
        session.catalog.dropTempView(view.viewName)
    for held in session.sparkContext._jsc.getPersistentRDDs().values():
        held.unpersist()


class _Process:
    """What of Spark runs in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._running: tuple[str, Mapping[str, str], SparkSession] | None = None

    def session(self, master: str, options: Mapping[str, str]) -> "SparkSession":
        if self._running:
            if self._running[:2] == (master, options) and _alive(self._running[2]):
                return self._running[2]
            self.stop()
        session = _begin(master, options)
        self._running = master, options, session
        atexit.register(self.stop)
        return session

    def stop(self) -> None:
        """Java ends with it, if not now then when this process ends."""
        atexit.unregister(self.stop)
        running, self._running = self._running, None
        if running:
            with suppress(Exception):
                running[2].stop()


_process = _Process()


def _alive(session: "SparkSession") -> bool:
    from py4j.protocol import Py4JError

    try:
        return not session.sparkContext._jsc.sc().isStopped()
    except (Py4JError, OSError, AttributeError):
        return False


def _begin(master: str, options: Mapping[str, str]) -> "SparkSession":
    """Java is started by hand, because it says things while it starts and nobody has asked."""
    from py4j.protocol import Py4JError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    with warnings.catch_warnings():  # about pandas, which is not used
        warnings.simplefilter("ignore", FutureWarning)
        import pyspark.testing.utils  # noqa: F401 - PySpark would, later

    conf = SparkConf().setMaster(master).setAppName("adstyle").setAll(list(options.items()))
    interrupt = signal.getsignal(signal.SIGINT)
    with tempfile.TemporaryFile() as said:
        try:
            gateway = launch_gateway(conf, {"stdout": said, "stderr": said})
            return SparkSession(SparkContext(conf=conf, gateway=gateway))
        except (PySparkException, Py4JError, OSError, ValueError) as error:
            raise ExperimentError(f"Spark does not start: {_cause(said) or _first_line(error)}") from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, interrupt)  # Spark takes it for itself


def _cause(said: IO[bytes]) -> str | None:
    """The first line of Java's that speaks of an error."""
    said.seek(0)
    lines = said.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in lines if re.search(r"Error|Exception", line)), None)


@contextmanager
def _failures() -> Iterator[None]:
    """Raise our error, in one line, for Spark's."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        cause = getattr(error, "java_exception", None)  # py4j's first line only says that there was one
        raise _told(str(error), _first_line(error if cause is None else cause.toString())) from error


def _told(whole: str, line: str) -> ExperimentError:
    def has(words: tuple[str, ...]) -> bool:
        return any(each in whole for each in words)

    if has(_OUT_OF_MEMORY):
        return ExperimentError(
            "Spark has too little memory for this; give more as `memory` under [stores] in adstyle.toml "
            "(on a cluster: spark.executor.memory under [spark])"
        )
    if has(_NO_CONNECTOR):
        return ExperimentError(
            f"Spark cannot read this lake's object store ({line}): give it Hadoop's connector, "
            "for S3 for example as spark.jars.packages under [spark] in adstyle.toml"
        )
    if has(_DISK_FULL):
        return StorageFailure(f"Spark's disk is full; free some space and run the same command again ({line})")
    if has(_UNREADABLE):
        return StorageFailure(f"the lake cannot be read: {line}")
    return ExperimentError(f"Spark cannot compute this: {line}")


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
