"""The names of the images that the cluster runs on: those that anyone would pull."""

from __future__ import annotations

from scripts.versions import pinned

NODE = f"kindest/node:v{pinned('KUBERNETES_VERSION')}"
METRICS_SERVER = f"registry.k8s.io/metrics-server/metrics-server:v{pinned('METRICS_SERVER_VERSION')}"
KEDA = f"ghcr.io/kedacore/keda:{pinned('KEDA_VERSION')}"
KEDA_ADAPTER = f"ghcr.io/kedacore/keda-metrics-apiserver:{pinned('KEDA_VERSION')}"
