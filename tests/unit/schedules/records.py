"""Records of a topic of schedules."""


class Record:
    """What a table reads."""

    def __init__(self, key: bytes, value: bytes, offset: int = 0) -> None:
        self._key, self._value, self._offset = key, value, offset

    def topic(self) -> str:
        return "checkins-schedules"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, 0

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None:
        return None
