"""What a version tells of itself beside its files: its card, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cas_registry.errors import ConflictError, InvalidInputError
from cas_registry.face.moves import Moves
from cas_registry.face.world import AnyPath
from cas_registry.model.ids import FileId
from cas_registry.model.inputs import Input
from cas_registry.model.revision import parse_revision
from cas_registry.operations.progress import NoProgress, Progress
from cas_registry.store.refs import Version
from cas_registry.worktree.stat_cache import StatCache

if TYPE_CHECKING:
    from cas_registry.operations.card import Card
    from cas_registry.operations.check_inputs import InputsReport
    from cas_registry.operations.commit import CommitReport
    from cas_registry.operations.hashing import Hashing


class Cards(Moves):
    """Cards and inputs of a model's versions."""

    def card(self, revision: str) -> Card:
        """The model card of a version: its MODEL_CARD.md or README.md, the front matter as data. NotFoundError without one.

        Front matter that cannot be read is `card.problem`, never an error.
        """
        from cas_registry.operations.card import require_card

        return require_card(self._reading, self.resolve(revision))

    def card_source(self, revision: str) -> tuple[str, str]:
        """Path and text of a version's card, as it stands; of one without: README.md and a template to fill in."""
        from cas_registry.operations.card import CARD_NAMES, read_source, template

        version = self.resolve(revision)
        return read_source(self._reading, version) or (CARD_NAMES[-1], template(version.model))

    def set_card(
        self,
        revision: str,
        fields: Mapping[str, Any] | None = None,
        *,
        text: str | None = None,
        branch: str | None = None,
        message: str = "",
        author: str | None = None,
        sign: bool = False,
        key: AnyPath | None = None,
    ) -> CommitReport:
        """Change the card of the version that a branch stands at, as a new version of that branch in which nothing else differs.

        `text` is the whole file anew; `fields` are fields of the front matter (None takes one away), the other lines stay as they are. The branch
        is the one that `revision` names, unless `branch` says which; it must stand at that version, else ConflictError. No file is
        read or written but the card. Params, metrics, inputs and the rest are those of the version before: it is the same model.
        """
        from cas_registry.operations.card import CARD_NAMES, read_source, set_fields

        version = self.resolve(revision)
        path, old = read_source(self._stores, version) or (CARD_NAMES[-1], "")
        source = old if text is None else text
        new = set_fields(source, fields) if fields else source
        described = f"card: {', '.join(fields)}" if fields else "card"
        return self._edit(
            version, {path: new.encode()}, branch or self._branch_at(revision), message or described, author, sign=sign, key=key
        )

    def inputs(self, revision: str) -> list[Input]:
        """What a version was made from, as recorded when it was committed."""
        version = self.resolve(revision)
        return list(self._reading.objects.read_commit(version.commit).inputs)

    def check_inputs(self, revision: str, *, root: AnyPath | None = None, progress: Progress | None = None) -> InputsReport:
        """Whether they are still there, and still the same: versions are looked up, files and objects read and hashed.

        Relative paths begin at `root`, by default at the top of the git work tree around the current folder, else at that folder. What
        cannot be read from here is said to be so. Raises nothing for an input.
        """
        from cas_registry.operations.capture.git import find_root
        from cas_registry.operations.check_inputs import Reader, check_inputs

        place = Path(root) if root is not None else find_root(Path()) or Path()
        reader = Reader(place, self._world.home_folder, self._hashing(progress or NoProgress()))
        return check_inputs(self._stores, self.resolve(revision), reader)

    def _edit(
        self, version: Version, files: Mapping[str, bytes], branch: str, message: str, author: str | None, *, sign: bool, key: AnyPath | None
    ) -> CommitReport:  # fmt: skip
        from cas_registry.operations.commit import CommitRequest
        from cas_registry.operations.edit import edit_version

        if version.model != self._name:
            raise InvalidInputError(f"{version.model} is another model; ask that one", model=version.model)
        before = self._stores.objects.read_commit(version.commit)
        endorser = self._endorser(key, wanted=sign)
        request = CommitRequest(
            model=self._name,
            paths=(),
            author=author or self._world.author,
            time_ms=self._now_ms,
            branch=branch,
            message=message,
            params=before.params,
            metrics=before.metrics,
            labels=before.labels,
            framework=before.framework,
            packages=before.packages,
            environment=before.environment,
            code=before.code,
            inputs=before.inputs,
            schema=before.schema,
            endorse=endorser,
        )
        report = edit_version(self._stores, version, files, request, clock_ns=self._world.clock_ns, progress=NoProgress())
        if endorser is None:
            return report
        return replace(report, signed_by=endorser.key if report.created else self._sign(branch, key, expect=report.commit).key)

    def _branch_at(self, revision: str) -> str:
        """The branch that a revision names."""
        parsed = parse_revision(revision)
        if parsed.name in {found.name for found in self.branches()} and not (parsed.steps or parsed.back or parsed.as_of):
            return parsed.name
        raise ConflictError(
            f"{revision} is no branch: a changed card is a new version, and a version stands on a branch; say which one it is to go on",
            revision=revision,
        )

    def _hashing(self, progress: Progress) -> Hashing:
        from cas_registry.operations.hashing import Hashing

        return Hashing(self._stat_cache, self._world.clock_ns, progress)

    def _stat_cache(self, folder: Path | None, *, read_only: bool = False) -> StatCache:
        cache = self._world.cache_folder
        if cache is None or folder is None:
            return StatCache(None)
        return StatCache(
            cache / "stat" / f"{FileId.of(str(folder.resolve()).encode('utf-8', 'surrogateescape')).hex[:32]}.cache",
            read_only=read_only,
        )
