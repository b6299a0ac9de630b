"""The HTTP service: routes in one module per resource, the web pages, and the server."""
