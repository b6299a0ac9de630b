"""The chart's values.schema.json as code: `python -m helm.schema` writes it.

What stands under `config` is read from `clocksvc.settings`, what Kubernetes defines from its own schemas. It must not
hold a rule of its own about a setting.
"""
