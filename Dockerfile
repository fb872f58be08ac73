# One image for the three daemons: docker build -t dashp2p . ; docker run dashp2p dashp2p-origin ...
# docker-compose.yml starts all of them. Nothing is fetched when a container starts.

FROM node:22.23.3-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c AS page
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /page
COPY scripts/page-libraries/ ./
RUN npm ci --ignore-scripts --no-audit --no-fund \
 && mkdir vendor \
 && while read -r digest source name; do \
      echo "$digest  node_modules/$source" | sha256sum -c - && cp "node_modules/$source" "vendor/$name" || exit 1; \
    done < files.sha256

FROM python:3.12.14-slim-bookworm@sha256:0f5b26b9518d002b6173fd61daad821fa340635ebfec5bba471013f9ca114579 AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/dashp2p
COPY requirements/demo.txt requirements/
RUN python -m pip --python /opt/dashp2p/bin/python install --no-cache-dir --require-hashes -r requirements/demo.txt
COPY pyproject.toml README.md LICENSE ./
COPY dashp2p/ dashp2p/
COPY twisted/ twisted/
COPY public/client/ public/client/
COPY --from=page /page/vendor/ public/client/vendor/
# setuptools is only for the build, and nobody runs Twisted's own tests here. The plugins' cache is
# written now: at run time the file system may be read-only.
RUN python -m pip --python /opt/dashp2p/bin/python install --no-cache-dir --no-deps --no-build-isolation --no-index . \
 && python -m pip --python /opt/dashp2p/bin/python uninstall --yes setuptools \
 && find /opt/dashp2p/lib -depth -type d -name test -path '*/site-packages/twisted/*' -exec rm -r {} + \
 && /opt/dashp2p/bin/python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"

FROM python:3.12.14-slim-bookworm@sha256:0f5b26b9518d002b6173fd61daad821fa340635ebfec5bba471013f9ca114579
# For experiments with loss and delay: docker exec -u 0, see docs/experiments.md. Debian keeps only
# the newest version of a package, so a pin would soon fail the build. Who enters as root has but
# one capability, and would not get into a home that only its owner may enter.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends iproute2 nftables \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home --home-dir /var/lib/dashp2p dashp2p \
 && chmod 755 /var/lib/dashp2p
COPY --from=build /opt/dashp2p /opt/dashp2p
ENV PATH=/opt/dashp2p/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /var/lib/dashp2p
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-m", "dashp2p.healthcheck"]
ENTRYPOINT ["twistd", "-n", "--pidfile="]
CMD ["--help"]
