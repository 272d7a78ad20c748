"""What docs/scale.md promises, and how it is measured."""

# A million predictions take as many queries as a thousand, and at most so many times the time.
PROMISED = 1.5
# Requests in a row on one database before the other has its turn.
AT_ONCE = 5
