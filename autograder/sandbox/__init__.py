"""Running code that nobody has read: warm processes, isolated by namespaces, with limits on everything.

`linux` and `seccomp` are the system calls, `view` the files that can be seen, `limits` the limits, `isolation` puts
them together into levels, `warm` is the process that has imported everything and forks, `client` talks to it, `stage`
makes the course package that student code may import, `provisioner` gives Jupyter kernels from the same process.
"""
