"""The local backend: a whole cluster on this machine, in namespaces of its own.

The node's first process has its own PID, mount, network, UTS and IPC namespaces. All programs of
the cluster are its children, all mounts of kubelet and containerd are in its mount namespace, all
of kube-proxy's rules are in its network namespace: when that one process is killed, the kernel
takes everything else with it. Only the control groups and the state folder stay to be removed.
"""
