"""The steps that lead from an empty database to the current schema, and where on the way a database is.

Each step is an Alembic revision, and its id says its phase: `0004` is a pre-step, `post_0001` a post-step. A pre-step
only adds: the code from before it runs on with it, so it may be applied while that code serves. A post-step takes away
what only older code used: it waits until none of that code is left, and the current code runs with or without it.
Each phase is a chain of its own; a post-step names the pre-step that it needs in `depends_on`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from alembic.script import Script, ScriptDirectory

Phase = Literal["pre", "post"]

_POST = "post_"


class SchemaMismatch(Exception):
    """The schema and what is wanted of it don't fit together. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema."""

    id: str
    title: str

    @property
    def phase(self) -> Phase:
        """Whether it may come before the older code is gone."""
        return phase_of(self.id)


@dataclass(frozen=True, slots=True)
class Progress:
    """Which steps a database has."""

    applied: Sequence[Step]
    pending: Sequence[Step]
    """In the order in which they are applied."""
    unknown: Sequence[str]
    """The ids of the last steps that it has from a newer version; those before them are not named."""

    @property
    def is_new(self) -> bool:
        """It has no schema at all."""
        return not self.applied and not self.unknown

    def pending_in(self, phase: Phase) -> list[Step]:
        """The steps of one phase that it lacks."""
        return [step for step in self.pending if step.phase == phase]


def phase_of(step_id: str) -> Phase:
    """The phase of a step, also of one that only a newer version knows."""
    return "post" if step_id.startswith(_POST) else "pre"


def progress(scripts: ScriptDirectory, heads: Collection[str]) -> Progress:
    """Where a database is whose last steps are `heads`, as `alembic_version` has them."""
    oldest_first = list(scripts.walk_revisions())[::-1]
    in_order = sorted(oldest_first, key=lambda script: phase_of(script.revision) == "post")
    known = {script.revision: script for script in in_order}
    unknown = sorted(set(heads) - known.keys())
    if any(phase_of(step_id) == "pre" for step_id in unknown):
        # The newer version has continued the chain of the pre-steps, so it has ours.
        heads = {*heads, *(step_id for step_id in known if phase_of(step_id) == "pre")}
    applied = _with_ancestors(known, heads)
    steps = [Step(script.revision, (script.doc or "").rstrip(".")) for script in known.values()]
    return Progress(
        applied=[step for step in steps if step.id in applied],
        pending=[step for step in steps if step.id not in applied],
        unknown=unknown,
    )


def due_at_start(found: Progress) -> list[Step]:
    """What a server applies when it starts. Raises `SchemaMismatch`.

    Pre-steps by itself; post-steps never, unless the database is new: only the operator knows that no older version
    is to come back. With pre-steps of a newer version it works as if they were not there.
    """
    if any(phase_of(step_id) == "post" for step_id in found.unknown):
        raise SchemaMismatch(
            f"a newer version of codecove has finished its changes to the database (step {found.unknown[-1]}), "
            "and this version can't work with them: install the newer one again"
        )
    return list(found.pending) if found.is_new else found.pending_in("pre")


def due_by_command(found: Progress, phases: Collection[Phase]) -> list[Step]:
    """What `cove database upgrade` applies. Raises `SchemaMismatch`."""
    if found.unknown:
        raise SchemaMismatch(
            f"the database has steps of a newer version of codecove ({', '.join(found.unknown)}): "
            "use the commands of that version"
        )
    if "pre" not in phases and (missing := found.pending_in("pre")):
        raise SchemaMismatch(f"the pre-steps come first, and {missing[0].id} is not applied yet")
    return [step for step in found.pending if step.phase in phases]


def _with_ancestors(known: dict[str, Script], step_ids: Collection[str]) -> set[str]:
    found: set[str] = set()
    waiting = [step_id for step_id in step_ids if step_id in known]
    while waiting:
        step_id = waiting.pop()
        if step_id not in found:
            found.add(step_id)
            script = known[step_id]
            waiting += [*_ids(script.down_revision), *_ids(script.dependencies)]
    return found


def _ids(given: str | Collection[str] | None) -> Collection[str]:
    return [given] if isinstance(given, str) else given or []
