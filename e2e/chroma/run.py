"""Runs the command `chroma` as a child. The first process of a container gets no signal that it
does not handle, and the server handles none.
"""

import signal
import subprocess
import sys

SERVER = "import sys; from chromadb_rust_bindings import cli; cli(['chroma', *sys.argv[1:]])"

server = subprocess.Popen([sys.executable, "-c", SERVER, *sys.argv[1:]], cwd="/opt/chroma")
signal.signal(signal.SIGTERM, lambda *_: server.terminate())
sys.exit(server.wait())
