"""``orchestrate results RUN --optuna study.db``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from orchestrator.cli.app import App
from orchestrator.cli.terminal import say
from orchestrator.engine.record import Record
from orchestrator.errors import MachineError, UsageError
from orchestrator.results.words import count
from orchestrator.spec.model import Spec


def export(app: App, runs: Sequence[str], wanted: str) -> int:
    """Each run as a study of its name, in an SQLite file or in the storage that the URL names."""
    try:
        from orchestrator.search import export as optuna_export
    except ImportError as error:
        if error.name is None or not error.name.startswith("optuna"):
            raise
        raise UsageError("A study needs Optuna.", remedy="pip install 'orchestrator[search]'") from None
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    if "://" in wanted:
        url = wanted
    else:
        path = Path(wanted).absolute()
        if not path.parent.is_dir():
            raise UsageError(f"--optuna: there is no folder {path.parent}.")
        url = f"sqlite:///{path}"
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        raise UsageError("--optuna: that is no URL of a storage.", remedy="Such as sqlite:///study.db.") from None
    for run in runs:
        with closing(Record.open(app.home.record(run))) as record:
            facts = record.facts()
            spec = Spec.model_validate(facts["spec"])
            told = list(record.told(facts.get("metric")))

            def reports(trial: int, record: Record = record, metric: str = spec.search.metric or "") -> Steps:
                for value in record.metrics(trial, metric):
                    if value.step is not None:
                        yield value.step, value.value

            try:
                written = optuna_export.export_study(spec, run, told, url, reports)
            except SQLAlchemyError as error:
                reason = str(getattr(error, "orig", None) or error)
                raise MachineError(f"The study cannot be written to {shown}: {reason}.") from error
        say(f"Wrote {count(written, 'trial')} as the study {run}.")
    say(f"Open it:  optuna-dashboard {shown}")
    return 0


Steps = Iterator[tuple[float, float]]
