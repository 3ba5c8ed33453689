"""Translate FiftyOne's labels to regions, and regions to labels."""
