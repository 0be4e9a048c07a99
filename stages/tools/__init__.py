"""Commands beside the six stages: settings, summary, exports, benchmarks, claims."""
