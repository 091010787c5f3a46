"""The Go programs that the cluster needs, the longest builds first."""

from __future__ import annotations

from scripts.cluster.golang import Program
from scripts.versions import pinned


def _kubernetes(name: str) -> Program:
    version = pinned("KUBERNETES_VERSION")
    major, minor, _ = version.split(".")
    variables = (
        ("k8s.io/component-base/version.gitVersion", f"v{version}"),
        ("k8s.io/component-base/version.gitMajor", major),
        ("k8s.io/component-base/version.gitMinor", minor),
        ("k8s.io/client-go/pkg/version.gitVersion", f"v{version}"),
    )
    return Program(name, "k8s.io/kubernetes", version, f"./cmd/{name}", variables=variables)


def _containerd(name: str) -> Program:
    version = pinned("CONTAINERD_VERSION")
    module = "github.com/containerd/containerd/v2"
    variables = (("github.com/containerd/containerd/v2/version.Version", f"v{version}"),)
    return Program(name, module, version, f"./cmd/{name}", "no_btrfs no_zfs no_aufs no_devmapper", variables)


def _keda(name: str, package: str) -> Program:
    version = pinned("KEDA_VERSION")
    variables = (("github.com/kedacore/keda/v2/version.Version", version),)
    return Program(name, "github.com/kedacore/keda/v2", version, f"./cmd/{package}", variables=variables)


def _prometheus(name: str) -> Program:
    version = pinned("PROMETHEUS_VERSION")
    major, minor, patch = version.split(".")
    variables = (("github.com/prometheus/common/version.Version", version),)
    # As a module, 3.16.0 is v0.316.0. Without the clouds' service discovery it is a third of the code; without
    # `builtinassets` it has no pages, only its API.
    module_version = f"0.{major}{int(minor):02}.{patch}"
    tags = "netgo remove_all_sd enable_kubernetes_sd enable_dns_sd"
    return Program(name, "github.com/prometheus/prometheus", module_version, f"./cmd/{name}", tags, variables)


def _of_image(name: str, module: str, image: str, package: str, *additions: tuple[str, str]) -> Program:
    """Return the program that an image is released with, at the version in the image's tag."""
    version = pinned(image).rpartition(":v")[2]
    variables = (("github.com/prometheus/common/version.Version", version),)
    return Program(name, module, version, package, variables=variables, additions=additions)


PROGRAMS = {
    program.name: program
    for program in (
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        _kubernetes("kubeadm"),
        _kubernetes("kubectl"),
        _keda("keda", "operator"),
        _keda("keda-adapter", "adapter"),
        Program("helm", "helm.sh/helm/v4", pinned("HELM_VERSION"), "./cmd/helm"),
        # The charts must render the same with it.
        Program("helm3", "helm.sh/helm/v3", pinned("HELM3_VERSION"), "./cmd/helm"),
        Program("coredns", "github.com/coredns/coredns", pinned("COREDNS_VERSION")),
        Program(
            "metrics-server",
            "sigs.k8s.io/metrics-server",
            pinned("METRICS_SERVER_VERSION"),
            "./cmd/metrics-server",
            variables=(("k8s.io/client-go/pkg/version.gitVersion", f"v{pinned('METRICS_SERVER_VERSION')}"),),
        ),
        _containerd("containerd"),
        _containerd("containerd-shim-runc-v2"),
        _containerd("ctr"),
        Program("etcd", "go.etcd.io/etcd/server/v3", pinned("ETCD_VERSION")),
        Program(
            "local-path-provisioner",
            "github.com/rancher/local-path-provisioner",
            pinned("LOCAL_PATH_PROVISIONER_VERSION"),
        ),
        # kind asks it whether a node has an image already.
        Program("crictl", "sigs.k8s.io/cri-tools", pinned("CRICTL_VERSION"), "./cmd/crictl"),
        Program("kind", "sigs.k8s.io/kind", pinned("KIND_VERSION")),
        Program("kubeconform", "github.com/yannh/kubeconform", pinned("KUBECONFORM_VERSION"), "./cmd/kubeconform"),
        _prometheus("prometheus"),
        _prometheus("promtool"),
        _of_image(
            "alertmanager",
            "github.com/prometheus/alertmanager",
            "ALERTMANAGER_IMAGE",
            "./cmd/alertmanager",
            # Its pages are built with npm and are no part of the module; its API is.
            ("ui/app/dist/index.html", "<p>Built without pages: ask the API.</p>\n"),
        ),
        _of_image("kube-state-metrics", "k8s.io/kube-state-metrics/v2", "KUBE_STATE_METRICS_IMAGE", "."),
    )
}
