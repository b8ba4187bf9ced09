# The memory service: one process, SQLite on /data, the embedding model inside. `make images` builds it.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# The tools of the build; none of them is in the image.
FROM ${BASE_IMAGE} AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_DEPS=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_ROOT_USER_ACTION=ignore
COPY locks/build.txt /locks/
# The secrets are optional: a package index of one's own, and the certificate authority of a proxy before it.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/ca.crt \
    python3 -m venv /opt/tools && /opt/tools/bin/pip install --require-hashes -r /locks/build.txt
# The environment that the image carries has no pip: the one of the tools fills it.
RUN python3 -m venv --without-pip /opt/memorybank
ENV PIP_PYTHON=/opt/memorybank/bin/python

FROM tools AS dependencies
COPY locks/app.txt /locks/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/ca.crt \
    /opt/tools/bin/pip install --no-compile --require-hashes -r /locks/app.txt
# The libraries' tests, headers and model converters are of no use at run time. Bytecode: the root file system
# is read-only and a start should not compile; unchecked, so that it does not depend on the files' dates.
RUN find /opt/memorybank/lib -type d \( -name tests -o -name include -o -path '*/onnxruntime/quantization' \
        -o -path '*/onnxruntime/tools' -o -path '*/onnxruntime/transformers' \) -prune -exec rm -rf {} + \
    && /opt/memorybank/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/memorybank/lib

FROM tools AS project
COPY LICENSE /src/
COPY app /src/app
# A tree of its own, laid over the environment's: a change of the code makes one small layer.
RUN /opt/tools/bin/pip --python /opt/tools/bin/python wheel --no-index --no-build-isolation --wheel-dir /wheels /src/app \
    && /opt/tools/bin/pip install --no-compile --no-index --prefix /opt/project /wheels/*.whl \
    && /opt/memorybank/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        -s /opt/project -p /opt/memorybank /opt/project/lib

FROM tools AS model
COPY locks/model.txt /locks/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.crt,target=/run/ca.crt \
    /opt/tools/bin/pip install --no-compile --require-hashes -r /locks/model.txt
# Only the code that makes the model: a change elsewhere does not make it anew.
COPY app/memorybank/__init__.py app/memorybank/errors.py /src/memorybank/
COPY app/memorybank/model /src/memorybank/model
RUN cd /src && /opt/memorybank/bin/python -c \
    "from pathlib import Path; from memorybank.model import prepare; prepare(Path('/models'), print)"

FROM ${BASE_IMAGE}
RUN install -d -o 65532 -g 65532 /data
COPY --from=dependencies /opt/memorybank /opt/memorybank
COPY --from=model /models /opt/memorybank/models
COPY --from=project /opt/project /opt/memorybank
ENV PATH=/opt/memorybank/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MEMORY_BANK_MODEL_DIR=/opt/memorybank/models
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/opt/memorybank/bin/memorybank"]
CMD ["serve", "--data", "/data", "--host", "0.0.0.0", "--port", "8080", "--metrics-port", "9090"]
# Last, since they change most often.
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="memorybank" \
      org.opencontainers.image.description="A memory service for AI agents: store, find by meaning, forget; REST and MCP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
