from tests.sandbox.hosts import host, own_shell, shell

__all__ = ["host", "own_shell", "shell"]
