"""What the calibration of the finding aims at, and how many X-rays a recalibration needs. Imports nothing."""

# Target false-negative rate of "no fracture seen" on held-out groups, with a margin for sampling error.
MISSED = 0.06
# Target false-positive rate of "fracture seen" on held-out groups.
ALARMED = 0.08
# Target number of false-positive marks per image, which sets the score threshold of the second and third mark.
FALSE_MARKS = 0.25
# Fewest X-rays with a fracture, and fewest without one, that a finding is recalibrated on; and fewest groups of them.
MIN_XRAYS = 30
MIN_GROUPS = 10
