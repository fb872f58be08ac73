# One image for the three daemons: docker build -t dashp2p . ; docker run dashp2p dashp2p-origin ...
# Nothing is fetched when a container starts.

FROM node:22-bookworm-slim AS page
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /page
COPY scripts/page-libraries/ ./
RUN npm ci --ignore-scripts --no-audit --no-fund \
 && mkdir vendor \
 && while read -r digest source name; do \
      echo "$digest  node_modules/$source" | sha256sum -c - && cp "node_modules/$source" "vendor/$name" || exit 1; \
    done < files.sha256

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/dashp2p
COPY requirements/demo.txt requirements/
RUN /opt/dashp2p/bin/pip install --no-cache-dir --require-hashes -r requirements/demo.txt
COPY pyproject.toml README.md LICENSE ./
COPY dashp2p/ dashp2p/
COPY twisted/ twisted/
COPY public/client/ public/client/
COPY --from=page /page/vendor/ public/client/vendor/
# The plugins' cache is written here: at run time the file system may be read-only.
RUN /opt/dashp2p/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index . \
 && /opt/dashp2p/bin/python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"

FROM python:3.12-slim-bookworm
COPY --from=build /opt/dashp2p /opt/dashp2p
RUN useradd --uid 10001 --create-home --home-dir /var/lib/dashp2p dashp2p
ENV PATH=/opt/dashp2p/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /var/lib/dashp2p
ENTRYPOINT ["twistd", "-n", "--pidfile="]
CMD ["--help"]
