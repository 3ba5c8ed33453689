"""Write what a project of Label Studio holds in the formats of other programs."""
