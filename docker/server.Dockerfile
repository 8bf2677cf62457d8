# The server. It decodes on the CPU; with REQUIREMENTS=docker/requirements-server-gpu.txt on an NVIDIA GPU.
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
ARG REQUIREMENTS=docker/requirements-server.txt
COPY ${REQUIREMENTS} /requirements.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r /requirements.txt \
    && /venv/bin/pip uninstall -y pip setuptools

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home artoveq
COPY --from=packages /venv /venv
COPY artoveq /app/artoveq
COPY clients/web/src /app/clients/web/src
COPY edge_client /app/edge_client
COPY inference_server /app/inference_server
COPY wire /app/wire
COPY models /models
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER artoveq
EXPOSE 50051 8080
# Plain, over TLS and over mutual TLS; a server that is started with other options than the environment's needs its own.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-m", "inference_server.health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "artoveq"]
CMD ["serve", "--model", "/models/imagewoof64-compact-progressive"]
