# The server. It decodes on the CPU; with REQUIREMENTS=docker/requirements-server-gpu.txt on an NVIDIA GPU.
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
ARG REQUIREMENTS=docker/requirements-server.txt
COPY ${REQUIREMENTS} /requirements.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r /requirements.txt \
    && /venv/bin/pip uninstall -y pip setuptools

# What a browser computes with, out of the package that clients/web/package-lock.json pins; Node is there for npm alone.
FROM ${BASE} AS web
COPY docker/requirements-web.txt /requirements.txt
RUN python -m venv /node && /node/bin/pip install --no-cache-dir --no-compile --require-hashes -r /requirements.txt
COPY clients/web/package.json clients/web/package-lock.json /app/clients/web/
COPY scripts/web /app/scripts/
RUN PATH=/node/bin:$PATH NODE_OPTIONS=--use-system-ca /app/scripts/web

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home artoveq
COPY --from=packages /venv /venv
COPY artoveq /app/artoveq
COPY clients/web/src /app/clients/web/src
COPY edge_client /app/edge_client
COPY inference_server /app/inference_server
COPY --from=web /app/inference_server/page/static/vendor/ort /app/inference_server/page/static/vendor/ort
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
