"""HTTP requests of tests, without TLS: httpx2 builds a TLS context for each request otherwise, which costs 20 ms."""

from functools import partial

import httpx2

get = partial(httpx2.get, verify=False)
post = partial(httpx2.post, verify=False)
