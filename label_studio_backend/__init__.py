"""The ML backend for Label Studio: translates its results, and serves its requests over HTTP."""
