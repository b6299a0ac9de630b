"""`clocksvc check`: what new users get wrong, found before it holds a clock, with what to do about it.

`rules_*` judge facts and ask nobody; `run` asks, each part in its own thread and in bounded time.
"""
