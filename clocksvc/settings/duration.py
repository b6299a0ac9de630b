"""Durations as fields of the configuration. Must not know which field allows which duration beyond its unit."""

from typing import Annotated

from pydantic import BeforeValidator

from clocksvc.clock.duration import (
    parse_duration,
    parse_whole_seconds,
)

Duration = Annotated[int, BeforeValidator(parse_duration)]
WholeSeconds = Annotated[int, BeforeValidator(parse_whole_seconds)]
