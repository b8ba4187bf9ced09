module memorybank.dev/cluster/testpod

go 1.24.0
