"""The Dockerfile and compose.yaml: read as their tools would, and their commands run by hand. No engine is needed."""
