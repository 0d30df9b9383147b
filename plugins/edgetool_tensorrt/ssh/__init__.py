"""TensorRT on a device that is reached by ssh: described, compared, and made to build and run engines.

The device needs sshd, a POSIX shell and trtexec. Everything that runs there is a job with a process group of its own,
which ends when nobody asks for it any more.
"""

from edgetool_tensorrt.ssh.connection import Connection, Done, connect
from edgetool_tensorrt.ssh.host import Host
from edgetool_tensorrt.ssh.probe import probe

__all__ = ["Connection", "Done", "Host", "connect", "probe"]
