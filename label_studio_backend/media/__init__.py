"""The images of tasks, fetched safely and kept on disk."""
