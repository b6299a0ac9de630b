"""The chart's values.schema.json as code: `python -m helm.schema` writes it.

The schema of `config` is read from `clocksvc.settings`, and the schema of Kubernetes objects from Kubernetes' own
schemas. This package must not define a rule about a setting itself.
"""
