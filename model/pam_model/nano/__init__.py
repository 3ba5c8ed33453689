"""nano: a very small PAM that knows a drawn world, which is drawn, learnt and examined here."""
