"""Broker -> Prometheus and KEDA: one page of numbers about queues and worker groups (`python -m app.exporter`).

It may import `app.runtime` and nothing else of `app`: an application of one's own copies the two folders.
"""
