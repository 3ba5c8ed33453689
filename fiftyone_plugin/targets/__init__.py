"""Choose the regions and samples that a run works on."""
