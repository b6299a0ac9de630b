"""What the core needs from outside, one protocol a module. `kafka/`, `redis/` and `memory/` implement them."""
