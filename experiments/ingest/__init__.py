"""Deliveries in, accounted for line by line."""
