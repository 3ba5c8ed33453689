"""Label Studio's words to ours and back, and the HTTP server that it talks to."""
