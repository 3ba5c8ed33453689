"""What a project's labeling config asks for, and what is answered in it."""
