"""nano: a very small PAM that knows a drawn world, and the programs that draw it, train and test it."""
