"""Performance targets of docs/scale.md, and how they are measured."""

# Maximum ratio of the times with a million and with a thousand predictions; the number of queries must be equal.
MAX_RATIO = 1.5
# Requests on one database before the other database is measured.
REQUESTS_PER_TURN = 5
