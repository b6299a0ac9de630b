"""Whether librdkafka takes the configured settings: it alone knows all of them. Asks no broker."""

from collections.abc import Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from clocksvc.errors import SettingsError
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)
from clocksvc.redaction import without_password


def check_settings(settings: Mapping[str, str]) -> None:
    """Make a client, and throw it away.

    Raises:
        SettingsError: a setting is unknown, its value impossible, or a file it names can't be used.
    """
    try:
        AdminClient(client_settings(settings), logger=ClientLog())
    except KafkaException as error:
        raise SettingsError([f"kafka: {without_password(error.args[0].str())}"]) from error
