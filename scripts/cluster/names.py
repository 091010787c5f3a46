"""What the cluster is made of: the images, by the names that anyone would pull, and the addresses of its Services."""

from __future__ import annotations

from scripts.versions import pinned

NODE = f"kindest/node:v{pinned('KUBERNETES_VERSION')}"
METRICS_SERVER = f"registry.k8s.io/metrics-server/metrics-server:v{pinned('METRICS_SERVER_VERSION')}"
KEDA = f"ghcr.io/kedacore/keda:{pinned('KEDA_VERSION')}"
KEDA_ADAPTER = f"ghcr.io/kedacore/keda-metrics-apiserver:{pinned('KEDA_VERSION')}"
# The addresses of Services; kind's own default.
SERVICES = "10.96.0.0/16"
