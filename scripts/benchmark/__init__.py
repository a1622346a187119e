"""The parts of `make bench`: data, engines, load."""
