"""An API server that no other test uses: an operator that another test left behind would be found
by what looks at the whole cluster. What is imported here is made anew for this folder.
"""

from tests.support.apiserver import api_client, api_server, namespace

__all__ = ["api_client", "api_server", "namespace"]
