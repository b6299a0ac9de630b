"""The chart on a real Kubernetes API server: `make cluster`. Not part of the tests, because building it takes minutes.

There is no kubelet and no controller: objects are validated and stored, pods are not started.
"""
