"""Which regions of which samples a run works on."""
