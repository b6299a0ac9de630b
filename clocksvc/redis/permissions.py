"""Whether a Redis user may do all that a service does to a clock's keys: for `clocksvc check`. Nothing that it writes
outlives the one script that tries it all."""

from typing import Any

from clocksvc.redis.connection import Connection
from clocksvc.redis.errors import translated
from clocksvc.redis.keys import key
from clocksvc.redis.scripts import TRIAL


def missing(connection: Connection, prefix: str, clock: str) -> list[str]:
    """The commands that the user may not run on the keys of a clock.

    Raises:
        StoreUnavailable: no answer, or no permission to run a script there: names it.
    """
    with translated():
        # By EVAL: a script that the server knows already would leave open whether it could be told another one.
        client: Any = connection.client()
        denied: list[str] = client.eval(TRIAL.text, 1, key(prefix, clock, "trial"))
        return denied
