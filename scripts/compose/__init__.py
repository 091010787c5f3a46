"""`make compose-up`: docker/compose.yaml with its images, its secrets and proof that it works.

place -> program -> ports -> containers -> work: one file each, in the order in which `up` goes through them.
"""
