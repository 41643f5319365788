# The third pillar whole: the system's libraries pinned as well as the packages. NOT BUILT YET by anybody: the machine
# that this was written on has no container engine.
#
# The base image is pinned by its digest, which you look up yourself, once, and keep with your build:
#
#   docker buildx imagetools inspect python:3.11-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg BASE_DIGEST=sha256:... --tag goldtrace .
#   docker run --rm goldtrace
#
# Without it the build stops at FROM: a tag alone names another image tomorrow. This image has git and make already, so
# nothing comes from the archives of the distribution, which change from day to day.
ARG BASE_DIGEST
FROM python:3.11-bookworm@${BASE_DIGEST}

RUN useradd --uid 1000 --create-home goldtrace \
    && install --directory --owner goldtrace /goldtrace

USER 1000
WORKDIR /goldtrace

# The environment in a layer of its own: it is built anew only when the lock or the sources change.
COPY --chown=1000 Makefile pyproject.toml requirements.lock README.md LICENSE ./
COPY --chown=1000 src src
RUN make environment

COPY --chown=1000 golden golden

CMD ["make", "golden"]
