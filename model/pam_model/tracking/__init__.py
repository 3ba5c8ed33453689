"""Track objects through the frames of a clip."""
