"""A simulator of worker pods, the HPA and KEDA: what a scaling policy costs, and how long tasks wait under it.

It replays a load (traces.py) against a policy (policies.py) on a model of the cluster (cluster.py, controllers.py) and
says how long tasks waited, how many pod-seconds were paid and how many runs were killed. The same seed gives the same
numbers. README.md has the results and what the model leaves out.
"""
