"""Any file and any environment either load or raise SettingsError."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clocksvc.errors import SettingsError
from clocksvc.settings import Settings, settings_from
from tests.unit.settings.sample_config import TOKEN, file_reader, loaded

pytestmark = pytest.mark.core


_SECTION_NAMES = ["redis", "kafka", "celery", "clocks", "api"]
_WORDS = """
redis kafka celery clocks api url url_file prefix cluster sentinel nodes service password password_file checkins topics
group interval heartbeat every key tick_log hold_after tokens token token_file name scopes read all port host broker_url
bootstrap.servers sasl.password_file 60s redis://u:p@h/0 null [ {a 0
"""
_KNOWN_WORDS = _WORDS.split()
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.dates()
    | st.sampled_from(_KNOWN_WORDS)
    | st.integers(4_300, 5_000).map(lambda digits: 10**digits)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KNOWN_WORDS) | st.text(max_size=5) | st.integers(), inner, max_size=5)
    ),
    max_leaves=12,
)
_SECTIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(_SECTION_NAMES, _VALUES))
_CLOCKS = st.fixed_dictionaries(
    {"topics": st.just(["ingest"]), "group": st.just("consumer")},
    optional=dict.fromkeys(["interval", "heartbeat", "max_future"], _VALUES),
)
_VARIABLES = st.lists(st.sampled_from([word.upper().replace(".", "_") for word in _KNOWN_WORDS]), max_size=4).map(
    lambda words: "CLOCKSVC_" + "__".join(words)
)
_ENVIRONMENTS = st.dictionaries(_VARIABLES, st.text(max_size=8) | st.sampled_from(_KNOWN_WORDS), max_size=3)


def _outcome(load: Callable[[], Settings]) -> str:
    try:
        settings = load()
    except SettingsError as error:
        return "rejected" if error.problems else "rejected without a problem"
    return "loaded" if settings.clock_specs() and settings.celery_broker() else "loaded without a clock"


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=_VALUES | _SECTIONS | _CLOCKS.map(lambda clock: {"clocks": {"checkins": clock}}), environ=_ENVIRONMENTS)
def test_any_data_loads_or_is_rejected(data: object, environ: dict[str, str]) -> None:
    """Settings or SettingsError, never another exception."""
    outcome = _outcome(lambda: settings_from(data, environ, file_reader({"read": TOKEN})))

    assert outcome in ("rejected", "loaded")


@hypothesis_settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="{}[]:,&*!?|>-<'\"#%@` \n\tab0", max_size=30))
def test_any_text_loads_or_is_rejected(text: str) -> None:
    """Settings or SettingsError, never another exception."""
    assert _outcome(lambda: loaded(text)) in ("rejected", "loaded")
