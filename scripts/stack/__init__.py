"""`make up`: the same processes as in the cluster, on one machine, without containers.

place -> processes -> supervision -> readiness -> work: one file each, in the order in which `up` goes through them.
"""
