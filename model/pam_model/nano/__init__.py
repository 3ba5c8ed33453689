"""nano, a very small PAM: the drawn world that it knows, its training and its evaluation."""
