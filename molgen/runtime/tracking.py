"""MLflow: a run's parameters, numbers and files, mirrored; the run folder stays the truth.

Nothing here can stop a campaign. What cannot be written waits and is tried again a minute later;
one warning says so.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from mlflow import MlflowClient

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = 60.0
_PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
_MAX_PARAMS = 100  # in one request, by MLflow's limits; a value has at most 6,000 characters
_MAX_METRICS = 1000
_MAX_VALUE_LENGTH = 6000
_MODEL_FOLDER = "model"  # among a run's artifacts


def default_uri(runs_dir: Path) -> str:
    """The SQLite store beside the run folders, so that runs can be compared."""
    return f"sqlite:///{runs_dir.resolve() / 'mlflow.db'}"


class Tracker:
    """One MLflow run. Ends as FINISHED, FAILED or, on Ctrl-C, KILLED when used with `with`."""

    def __init__(
        self, *, uri: str, experiment: str, run_name: str, run_id: str | None,
        on_new_run: Callable[[str], object] = lambda run_id: None,
    ) -> None:  # fmt: skip
        """Start a run, or go on with `run_id`.

        Args:
            uri: MLflow tracking URI; a SQLite store is created where it is missing.
            experiment: created where it is missing.
            run_name: shown in MLflow.
            run_id: of a run to go on with; where the store does not know it, a new run starts.
            on_new_run: called with the number of a run that was started, be it at once or when a
                server that was not there answers at last.
        """
        self.run_id = run_id or ""
        self._uri, self._experiment, self._run_name = uri, experiment, run_name
        self._on_new_run = on_new_run
        self._client: MlflowClient | None = None
        self._waiting: deque[Callable[[MlflowClient], None]] = deque()
        self._retry_at = 0.0
        self._warned = False
        self._ended = False
        self._flush()

    def params(self, flat: Mapping[str, Any]) -> None:
        """Write parameters. Those that a resumed run has changed become tags `resumed.<key>`.

        Credentials in addresses are left out.
        """
        new = {_legal(k): without_credentials(str(v))[:_MAX_VALUE_LENGTH] for k, v in flat.items()}

        def send(client: MlflowClient) -> None:
            from mlflow.entities import Param, RunTag

            old = client.get_run(self.run_id).data.params
            fresh = [Param(key, value) for key, value in new.items() if key not in old]
            changed = [
                RunTag(f"resumed.{key}", value)
                for key, value in new.items()
                if key in old and old[key] != value
            ]
            for start in range(0, len(fresh), _MAX_PARAMS):
                client.log_batch(self.run_id, params=fresh[start : start + _MAX_PARAMS])
            for start in range(0, len(changed), _MAX_PARAMS):
                client.log_batch(self.run_id, tags=changed[start : start + _MAX_PARAMS])

        self._send(send)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers of one step in one request; NaN and infinite ones are left out."""
        finite = {_legal(k): float(v) for k, v in values.items() if math.isfinite(v)}
        now_ms = int(time.time() * 1000)

        def send(client: MlflowClient) -> None:
            from mlflow.entities import Metric

            batch = [Metric(key, value, now_ms, step) for key, value in finite.items()]
            for start in range(0, len(batch), _MAX_METRICS):
                client.log_batch(self.run_id, metrics=batch[start : start + _MAX_METRICS])

        self._send(send)

    def artifact(self, path: Path) -> None:
        """Copy a file to the run's artifacts."""
        self._send(lambda client: client.log_artifact(self.run_id, str(path)))

    def text(self, text: str, name: str) -> None:
        """Write a text to a file among the run's artifacts; credentials in addresses left out."""
        safe = without_credentials(text)
        self._send(lambda client: client.log_text(self.run_id, safe, name))

    def register(
        self,
        name: str,
        folder: Path,
        *,
        metric: str,
        value: float,
        higher_is_better: bool,
        data_sha256: str,
    ) -> None:
        """Copy a folder to the run's artifacts and make it a new version of a registered model.

        The version gets the alias `champion` where there is none yet, or where it is not worse
        than the champion by the same metric on the same data; else `candidate`: numbers of
        different data do not compare, so a person decides by moving the alias. Nothing is
        pickled: the version's source is the folder as it is.

        Args:
            name: of the registered model.
            folder: what is registered.
            metric: by which versions are compared.
            value: of this version.
            higher_is_better: direction of the metric.
            data_sha256: of the table it was trained on.
        """
        tags = {"metric": metric, "value": repr(float(value)), "data_sha256": data_sha256}

        def send(client: MlflowClient) -> None:
            client.log_artifacts(self.run_id, str(folder), _MODEL_FOLDER)
            if not client.search_registered_models(filter_string=f"name = '{name}'"):
                client.create_registered_model(name)
            artifacts = client.get_run(self.run_id).info.artifact_uri
            version = client.create_model_version(
                name, f"{artifacts}/{_MODEL_FOLDER}", self.run_id, tags=tags
            )
            champion = _champion(client, name)
            wins = champion is None or _not_worse(tags, champion, higher_is_better)
            alias = "champion" if wins else "candidate"
            client.set_registered_model_alias(name, alias, version.version)

        self._send(send)

    def end(self, status: RunStatus) -> None:
        """End the run; what still waits gets one last try."""
        self._ended = True
        self._retry_at = 0.0
        self._send(lambda client: client.set_terminated(self.run_id, status))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._ended:
            killed = kind is not None and issubclass(kind, KeyboardInterrupt)
            self.end("FINISHED" if kind is None else "KILLED" if killed else "FAILED")

    def _send(self, action: Callable[[MlflowClient], None]) -> None:
        self._waiting.append(action)
        self._flush()

    def _flush(self) -> None:
        """Do what waits, in order; what a dead server did not take is left for later."""
        if time.monotonic() < self._retry_at:
            return
        try:
            if self._client is None:
                self._client = self._connect()
            while self._waiting:
                self._try_first(self._client)
        except Exception as error:  # whatever a server, a proxy or a disk comes up with
            self._retry_at = time.monotonic() + _RETRY_AFTER_S
            if not self._warned:
                self._warned = True
                _log.warning(
                    "MLflow at %s does not answer; the run goes on, its numbers are in the run "
                    "folder (%s)",
                    without_credentials(self._uri),
                    without_credentials(_reason(error)),
                )

    def _try_first(self, client: MlflowClient) -> None:
        """Do the first thing that waits; what MLflow refuses for good is dropped."""
        from mlflow.exceptions import MlflowException

        try:
            self._waiting[0](client)
        except (MlflowException, FileNotFoundError) as error:
            if getattr(error, "error_code", "") in _PASSING:
                raise
            _log.warning("MLflow refuses an entry (%s)", _reason(error))
        self._waiting.popleft()

    def _connect(self) -> MlflowClient:
        with _quiet_mlflow(), _creation_lock(self._uri):
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            client = MlflowClient(tracking_uri=self._uri)
            experiment = client.get_experiment_by_name(self._experiment)
            experiment_id = (
                experiment.experiment_id
                if experiment
                else client.create_experiment(self._experiment, _artifact_location(self._uri))
            )
            if self.run_id:
                try:
                    client.update_run(self.run_id, status="RUNNING")
                    return client
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
                    _log.warning("MLflow does not know run %s; a new one starts", self.run_id)
            run = client.create_run(experiment_id, run_name=self._run_name)
            self.run_id = run.info.run_id
            self._on_new_run(self.run_id)
            return client


class _NoTracker:
    """Does nothing, for `tracking.enabled: false`."""

    run_id = ""

    def params(self, flat: Mapping[str, Any]) -> None:
        pass

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        pass

    def artifact(self, path: Path) -> None:
        pass

    def text(self, text: str, name: str) -> None:
        pass

    def end(self, status: RunStatus) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def no_tracker() -> _NoTracker:
    """A tracker that does nothing."""
    return _NoTracker()


def without_credentials(text: str) -> str:
    """The text with *** for what addresses in it hold before an `@` and as values of a query."""
    text = re.sub(r"://[^\s'\"]*@", "://***@", text)
    return re.sub(
        r"://[^\s'\"]*", lambda url: re.sub(r"([?&;][^=&;]*=)[^&;#]*", r"\1***", url[0]), text
    )


def _champion(client: MlflowClient, name: str) -> Mapping[str, str] | None:
    """Tags of the version that bears the alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        tags: Mapping[str, str] = client.get_model_version_by_alias(name, "champion").tags
    except MlflowException as error:
        if error.error_code in _PASSING:
            raise
        return None
    return tags


def _not_worse(new: Mapping[str, str], old: Mapping[str, str], higher_is_better: bool) -> bool:
    """Whether a version is known to be at least as good as another; tags of `register`."""
    if any(new[key] != old.get(key) for key in ("metric", "data_sha256")):
        return False
    mine, others = float(new["value"]), float(old["value"])
    return mine >= others if higher_is_better else mine <= others


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _legal(key: str) -> str:
    """MLflow allows letters, digits and `_-./ :` in names, at most 250 characters."""
    return re.sub(r"[^\w.\- /:]", "_", key)[:250]


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _artifact_location(uri: str) -> str | None:
    """Beside the SQLite store; a server knows its own place."""
    file = _sqlite_file(uri)
    return (file.resolve().parent / "mlartifacts").as_uri() if file else None


@contextmanager
def _creation_lock(uri: str) -> Iterator[None]:
    """Processes that open a fresh SQLite store at the same time would crash each other."""
    from filelock import FileLock

    file = _sqlite_file(uri)
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        yield


@contextmanager
def _quiet_mlflow() -> Iterator[None]:
    """No telemetry, no log of migrations, and no long retries against a dead server."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own use of deprecated things
        yield
