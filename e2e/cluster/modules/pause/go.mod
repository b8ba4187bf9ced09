module memorybank.dev/cluster/pause

go 1.24.0
