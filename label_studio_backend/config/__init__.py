"""Read a project's labelling config and options, and decide where answers go."""
