"""The chart on a real Kubernetes API server: `make cluster`. Apart from the tests, because building it takes minutes.

Nothing of the kubelet and no controller runs: objects are judged and kept, no pod is started.
"""
