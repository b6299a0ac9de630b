"""A task of Sentry's task platform: what each of its activations says, and where it goes. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlatformTask:
    """One task.

    Attributes:
        topic: of the processing pool that runs it.
        application, namespace, name: by which a worker finds it.
        processing_deadline_s: so long an execution may take. expires_s: later than this it does not begin; None: ever.
    """

    topic: str
    application: str
    namespace: str
    name: str
    processing_deadline_s: int
    expires_s: int | None = None


def namespace_of(route: str) -> str:
    """The namespace in which a worker looks for a task: its dotted name without the last part, where it has several."""
    return route.rpartition(".")[0] or route
