"""The store on Redis 6.2 or later, or Valkey. Commands of Redis 6.2 only; the one package that imports redis."""
