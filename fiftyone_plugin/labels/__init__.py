"""FiftyOne's labels to regions and back."""
