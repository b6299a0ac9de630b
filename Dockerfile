# clocksvc with the packages of its service and its Celery programs. Runs `clocksvc serve`; the other commands are
#   docker run IMAGE celery --app=clocksvc worker --health-check-file-path=/tmp/health
#   docker run IMAGE celery --app=clocksvc beat
#   docker run IMAGE clocksvc scheduler --host 0.0.0.0
#   docker run --init IMAGE clocksvc status | tail | wait | check | init …
# Mount the configuration as /etc/clocksvc/clocksvc.yaml. The container writes only below /tmp: run it with --read-only
# --tmpfs /tmp. Every download is verified: the base image by its digest, packages by the hashes in requirements/.
# Another base image: --build-arg PYTHON=python:…@sha256:… (`docker buildx imagetools inspect python:…` prints the digest).
ARG PYTHON=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

FROM ${PYTHON} AS build
# Add `taskbroker` for namespaces with a Kafka topic (docs/jobs.md), and `outbox,postgres` for `clocksvc outbox`.
ARG EXTRAS=server,celery
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements requirements
RUN ["python", "-m", "venv", "--without-pip", "/opt/clocksvc"]
RUN ["python", "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements/build.txt"]
# The versions that the tests use; compiled here, because the file system is read-only later.
RUN case "${EXTRAS}" in *taskbroker*) more="--requirement requirements/taskbroker.txt" ;; esac; \
    case "${EXTRAS}" in *outbox*) more="${more} --requirement requirements/outbox.txt" ;; esac; \
    python -m pip --python /opt/clocksvc/bin/python install --require-hashes --only-binary :all: --compile \
    --requirement requirements/service.txt ${more}
COPY pyproject.toml README.md LICENSE ./
COPY docs/runbook.md docs/runbook.md
COPY clocksvc clocksvc
RUN ["python", "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
# Without an index: fails if requirements/ has not all that the extras need.
RUN python -m pip --python /opt/clocksvc/bin/python install --no-index --compile "$(ls dist/clocksvc-*.whl)[${EXTRAS}]"

FROM ${PYTHON}
ARG PYTHON
# Written by `python -m release.version`.
ARG VERSION=0.1.0
# --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(date -u +%FT%TZ)"
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="clocksvc" \
      org.opencontainers.image.description="A global clock for partitioned Kafka topics: has everything before T been processed?" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${PYTHON}"
COPY --from=build /opt/clocksvc /opt/clocksvc
ENV PATH=/opt/clocksvc/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CLOCKSVC_CONFIG=/etc/clocksvc/clocksvc.yaml
# A number, so that Kubernetes can check that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
# For `serve`; compose.yaml has a worker's. It uses the port of CLOCKSVC_API__PORT if that is set.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('CLOCKSVC_API__PORT', 8080)), timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
# Without a shell, so that the process itself gets SIGTERM. It starts on this address only with tokens, or --insecure.
CMD ["clocksvc", "serve", "--host", "0.0.0.0"]
