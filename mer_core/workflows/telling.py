"""What a run tells the plugins that listen, and what becomes of a listener that raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mer_core.announce import Announcer, ListenerProblem, deaf_plugins
from mer_core.config import RunConfig
from mer_core.engine import ClipFailure
from mer_core.errors import MerError
from mer_core.evaluation import METRICS
from mer_core.events import FeaturesReady, FoldFinished, RunFinished, RunStarted, Status
from mer_core.feature_set import FeatureSet
from mer_core.registry import Catalogue
from mer_core.report.model import RunReport
from mer_core.workflows.extract import Extraction
from mer_core.workflows.log import RunLog
from mer_core.workflows.scoring import OutOfFold, fold_scores


class Teller:
    """Announces one run. A listener that raises becomes a line of ``log.jsonl`` and a warning in the report.

    Args:
        listeners: False to tell nobody.
        notice: told at the run's beginning of plugins that cannot be announced to.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path,
        log: RunLog,
        listeners: bool = True,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.log = folder, log
        self.warnings: list[str] = []
        self._catalogue, self._notice = catalogue if listeners else Catalogue(), notice
        self._announcer = Announcer(self._catalogue, self._note)

    @contextmanager
    def run(self, config: RunConfig, clips: int) -> Iterator[None]:
        """Announce the run's beginning, and its end if that is an error; :meth:`finished` tells a good end."""
        self._name_the_deaf()
        try:
            self._announcer.announce(RunStarted(folder=self.folder, config=config.model_dump(mode="json"), clips=clips))
            yield
        except KeyboardInterrupt:
            self._end("interrupted")
            raise
        except BaseException as error:
            self._end("failed", str(error) if isinstance(error, MerError) else f"{type(error).__name__}: {error}")
            raise

    def features(self, extraction: Extraction, failures: tuple[ClipFailure, ...]) -> None:
        """Announce what each stream of the run has."""
        names, table, report = extraction.config.stream_names, extraction.features.table, extraction.report
        self._announcer.announce(
            FeaturesReady(
                folder=self.folder,
                dims={name: table[name].info.dim if name in table else 0 for name in names},
                present={name: int(table[name].present.sum()) if name in table else 0 for name in names},
                extracted={name: report.extracted.get(name, 0) for name in names},
                reused={name: report.reused.get(name, 0) for name in names},
                failures=len({failure.id for failure in failures}),
                seconds=self.log.timing["extract"],
            )
        )

    def folds(self, held_out: OutOfFold, data: FeatureSet) -> None:
        """Announce each fold's scores on the clips that it held out."""
        found = fold_scores(held_out, data)
        for number, one in enumerate(found, 1):
            scores = {name: float(getattr(one, name)) for name in METRICS}
            self._announcer.announce(
                FoldFinished(folder=self.folder, fold=number, folds=len(found), clips=one.n, scores=scores)
            )

    def finished(self, report: RunReport) -> RunReport:
        """Announce the saved report; it is saved again if a listener could not bear it."""
        told = len(self.warnings)
        event = RunFinished(folder=self.folder, status="finished", seconds=self.log.seconds, report=report.document())
        self._announcer.announce(event)
        if len(self.warnings) == told:
            return report
        report = with_warnings(report, self.warnings[told:])
        report.save(self.folder)
        return report

    def _end(self, status: Status, error: str = "") -> None:
        self._announcer.announce(RunFinished(folder=self.folder, status=status, seconds=self.log.seconds, error=error))

    def _name_the_deaf(self) -> None:
        """Say which plugins hear nothing, or not all, of this run."""
        found = deaf_plugins(self._catalogue)
        for one in found:
            self.log.write("listener unusable", plugin=one.plugin, error=one.reason, remedy=one.remedy)
        if found:
            told = f"Not every plugin can be told of this run: {'; '.join(map(str, found))}. See 'mer doctor'."
            self.warnings.append(told)
            if self._notice is not None:
                self._notice(told)

    def _note(self, problem: ListenerProblem) -> None:
        self.log.write(
            "listener failed", plugin=problem.plugin, hook=problem.hook, error=problem.error, where=problem.where
        )
        self.warnings.append(f"A listener failed, which changed no result: {problem}")


def with_warnings(report: RunReport, warnings: Sequence[str]) -> RunReport:
    """The report with further warnings at the end."""
    return report.model_copy(update={"warnings": (*report.warnings, *warnings)})
