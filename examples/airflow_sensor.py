"""A deferrable Airflow sensor that waits until a clock has reached a time, such as the end of a data interval.

    ready = ClockSensor(task_id="ready", clock="checkins", until="{{ data_interval_end.isoformat() }}")

While it waits, it needs no worker: one coroutine in the triggerer waits with long polls. Put this file into a folder
from which the triggerer can import it. Set CLOCKSVC_URL for the triggerer, and CLOCKSVC_TOKEN if the service requires a
token (scope `read`).

For Airflow 3, which has httpx. A test runs this file against a service, but with substitutes for Airflow's three
classes and for httpx: it was not run in Airflow.
"""

import asyncio
import os
from datetime import datetime, timedelta

import httpx
from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

WAIT_S, RETRY_S = 25, 5


async def tick_at(url, clock, until, token=None):
    """Return the first tick that the service has at or after `until`, an aware datetime. Waits without a limit."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    query = {"until": until.isoformat(), "timeout": WAIT_S}
    async with httpx.AsyncClient(headers=headers, timeout=WAIT_S + 10) as client:
        while True:
            try:
                response = await client.get(f"{url}/v1/clocks/{clock}/wait", params=query)
            except httpx.TransportError:
                await asyncio.sleep(RETRY_S)
                continue
            if response.status_code == 200:
                tick = response.json()
                # A proxy's page with status 200 must not start the next task.
                if tick["clock"] != clock or datetime.fromisoformat(tick["time"]) < until:
                    raise ValueError(f"not a tick of {clock} at or after {until}: {tick}")
                return tick
            if response.status_code != 409:  # 409: not reached within WAIT_S
                if response.status_code != 429 and response.status_code < 500:
                    raise ValueError(f"the service rejects the request: {response.text}")
                await asyncio.sleep(RETRY_S)


class ClockTrigger(BaseTrigger):
    def __init__(self, clock, until):
        super().__init__()
        self.clock, self.until = clock, until

    def serialize(self):
        return f"{__name__}.ClockTrigger", {"clock": self.clock, "until": self.until}

    async def run(self):
        until = datetime.fromisoformat(self.until)
        url, token = os.environ["CLOCKSVC_URL"], os.environ.get("CLOCKSVC_TOKEN")
        yield TriggerEvent(await tick_at(url, self.clock, until, token))


class ClockSensor(BaseSensorOperator):
    template_fields = ("until",)

    def __init__(self, *, clock, until, **kwargs):
        super().__init__(**kwargs)
        self.clock, self.until = clock, until

    def execute(self, context):
        limit = timedelta(seconds=self.timeout)
        self.defer(trigger=ClockTrigger(self.clock, self.until), method_name="execute_complete", timeout=limit)

    def execute_complete(self, context, event):
        return event["time"]
