"""The demo of `clocksvc dev`: a complete installation with producers and consumers that runs through a scenario.

The demo uses only public interfaces of clocksvc: Reporter, HTTP, Celery's programs, a configuration. Only
`clocksvc.dev` imports the demo.
"""
