"""Rounds of outages: processes killed and stopped, servers gone, connections cut; observers share no code with us."""
