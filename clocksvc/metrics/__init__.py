"""Metrics for Prometheus: catalogues, the reading of each clock, the text of `/metrics`, and a consumer's collector.

If a value is not known, its series is absent; it is never NaN or 0 instead. Only the counts of this process itself are
kept between scrapes. All other values are read at each scrape.
"""
