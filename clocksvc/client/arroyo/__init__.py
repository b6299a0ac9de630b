"""A clock for pipelines of Arroyo. The only package that imports arroyo."""
