# The third pillar whole: the system's libraries pinned as well as the packages. NOT BUILT YET by anybody: the machine
# that this was written on has no container engine.
#
# The base image is pinned by its digest, which you look up yourself, once, and keep with your build:
#
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg BASE_DIGEST=sha256:... --tag goldtrace .
#   docker run --rm --volume "$PWD/golden-report:/goldtrace/golden-report" goldtrace
#
# Without it the build stops at FROM: a tag alone names another image tomorrow.
ARG BASE_DIGEST
FROM python:3.11-slim-bookworm@${BASE_DIGEST}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# apt's packages come from the day of the base image, whose lists don't change: git (for the header's commit) and make.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home goldtrace \
    && install --directory --owner goldtrace /goldtrace

USER goldtrace
WORKDIR /goldtrace

# The environment in a layer of its own: it is built anew only when the lock changes.
COPY --chown=goldtrace Makefile pyproject.toml requirements.lock README.md LICENSE ./
COPY --chown=goldtrace src src
RUN make environment

COPY --chown=goldtrace golden golden

CMD ["make", "golden", "ARGS=--golden-report golden-report"]
