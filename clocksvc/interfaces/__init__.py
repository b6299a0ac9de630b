"""What the core needs from outside, one protocol in each module. `kafka/`, `redis/` and `memory/` implement them."""
