# The edge alone: ONNX Runtime, gRPC, no torch. Builds for linux/amd64 and linux/arm64.
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
COPY docker/requirements-edge.txt /requirements.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r /requirements.txt \
    && /venv/bin/pip uninstall -y pip setuptools

FROM ${BASE}
# tc shapes the demo's uplink. The capability is a file's, so that the process needs no root.
RUN apt-get update && apt-get install -y --no-install-recommends iproute2 libcap2-bin \
    && setcap cap_net_admin+ep "$(readlink -f "$(command -v tc)")" \
    && apt-get clean && rm -rf /var/lib/apt/lists/* && useradd --uid 10001 --no-create-home artoveq
COPY --from=packages /venv /venv
COPY artoveq /app/artoveq
COPY edge_client /app/edge_client
COPY wire /app/wire
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ARTOVEQ_CACHE=/tmp/artoveq
USER artoveq
ENTRYPOINT ["python", "-m", "artoveq"]
CMD ["--help"]
