"""What every command finds in its environment, before what its caller adds. Nothing of the server's own."""

from types import MappingProxyType

from codecove.sandbox.host import HOME

BASE_ENVIRONMENT = MappingProxyType(
    {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": HOME,
        "USER": "user",
        "LOGNAME": "user",
        "SHELL": "/bin/bash",
        # Of the locale nothing else differs from C. With LANG every program opens twelve files of it when it starts.
        "LC_CTYPE": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - inside the container
        "TERM": "dumb",
        "MPLBACKEND": "Agg",
        # One CPU: more threads would only take memory, and hang together at its limit.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMEXPR_MAX_THREADS": "1",
    }
)
