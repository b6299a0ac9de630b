"""clocksvc for asyncio: `async for tick in ticks(…)` and `await wait_until(…)`. Needs the extra `clocksvc[aio]`.

They have the arguments, errors and promises of `clocksvc.ticks` and `clocksvc.wait_until`, and do not block the event
loop. `Reporter` has no variant for asyncio, because its methods for records do not block.
"""

try:
    from clocksvc.client.aio import AsyncTicks, ticks, wait_until
except ModuleNotFoundError as error:
    raise ImportError(f"clocksvc.aio needs the package {error.name}: pip install 'clocksvc[aio]'") from error

__all__ = ["AsyncTicks", "ticks", "wait_until"]
