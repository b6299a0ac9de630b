"""The demo of `clocksvc dev`: a whole clocksvc with producers and consumers, which tells its story by itself.

It uses clocksvc through the doors that users have: Reporter, HTTP, Celery's programs, a configuration. Nothing outside
`clocksvc.dev` may import it.
"""
