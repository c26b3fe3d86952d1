"""The autoscale formula language: `parse` it (`grammar`), `run` it (`evaluate`) on samples (`metrics`)."""
