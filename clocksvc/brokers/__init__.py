"""Who keeps the promise of `broker.py`. Celery's keeper is in `celery/`, where Celery is."""
