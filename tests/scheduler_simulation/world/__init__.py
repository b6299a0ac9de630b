"""The world of one seed: a clock, topics, a store, replicas of the scheduler, and writers of schedules."""
