"""What replicas disagree about, in words."""

import json

from clocksvc.clock.spec import Replica, describe_config_conflict


def test_a_replica_without_a_configuration_is_compared_by_its_digest() -> None:
    """An older version announces its digest alone: no field is said to be missing there; others still differ."""
    minute, five = (json.dumps({"group": "g", "interval": interval}) for interval in ("60s", "300s"))
    silent = Replica("old:1", "d3")

    assert describe_config_conflict([Replica("new:1", "d1", minute), silent]).endswith(
        ": digest is d1 at new:1, d3 at old:1"
    )
    assert describe_config_conflict([Replica("new:1", "d1", minute), Replica("new:2", "d2", five), silent]).endswith(
        ": interval is 300s at new:2, 60s at new:1; digest is d1 at new:1, d2 at new:2, d3 at old:1"
    )


def test_only_what_differs_is_named() -> None:
    """A field that one has and another has not is one that differs."""
    replicas = [Replica("a:1", "d1", '{"group": "g", "x": 1}'), Replica("b:2", "d2", '{"group": "g"}')]

    assert describe_config_conflict(replicas).endswith(": x is 1 at a:1, not set at b:2")
