module memorybank.dev/cluster/flux-kustomize

go 1.26.0

require github.com/fluxcd/kustomize-controller v1.9.6
