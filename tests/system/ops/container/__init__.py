"""The Dockerfile and compose.yaml: read as their tools would, and their commands run as processes, without an
engine."""
