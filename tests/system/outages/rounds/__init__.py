"""Outages for real: processes killed and stopped, servers gone, wires cut; observers know nothing of the product."""
