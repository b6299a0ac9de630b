"""The demo of `clocksvc dev`: a complete installation with producers and consumers that runs through a scenario.

It uses clocksvc through its public interfaces only: Reporter, HTTP, Celery's programs, a configuration. Only
`clocksvc.dev` imports it.
"""
